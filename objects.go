package lmcache

import (
	"context"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Delete removes objects from L1 and returns a code per key: Success, KeyNotExist, or
// KeyIsLocked for what is in use, unless it is forced: then it leaves the index, and is
// freed when its users let go.
func (e *Engine) Delete(ctx context.Context, keys []kv.Key, force bool) ([]l1.Code, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if e.isClosed() {
		return nil, ErrClosed
	}
	return e.sm.Delete(keys, force), nil
}

// ListL2 lists one page of what an outer tier holds; see storage.Manager.ListL2.
func (e *Engine) ListL2(ctx context.Context, tier int, q l2.ListQuery) (l2.Page, error) {
	p, err := e.sm.ListL2(ctx, tier, q)
	return p, closedError(err)
}

// DeleteL2 removes objects from an outer tier, or from storage.AllTiers; see
// storage.Manager.DeleteL2.
func (e *Engine) DeleteL2(ctx context.Context, keys []kv.Key, tier int) ([]storage.TierResult, error) {
	results, err := e.sm.DeleteL2(ctx, keys, tier)
	return results, closedError(err)
}
