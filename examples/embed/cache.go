package main

import (
	"context"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
)

// admit brings what the cache has of a request's prompt into its blocks and says
// how many tokens that are. The last token is always left to compute.
func (s *server) admit(ctx context.Context, r *request) (int, error) {
	r.session = s.engine.Session(lmcache.Request{ID: r.id, Model: modelName, Salt: r.tenant})
	match := r.session.Lookup(ctx, r.tokens)
	in, err := s.worker.Retrieve(ctx, match, [][]gpu.BlockID{r.blocks}, nil)
	if err != nil {
		return 0, err
	}
	if err := in.Wait(ctx); err != nil {
		return 0, nil //nolint:nilerr // the device could not deliver: compute everything
	}
	return in.Tokens(), nil
}

// keep hands what has been computed to the cache. It does not wait.
func (s *server) keep(ctx context.Context, r *request) (err error) {
	r.stored, err = s.worker.Store(ctx, r.session, r.tokens, [][]gpu.BlockID{r.blocks}, nil)
	return err
}

// retire ends a request. Its blocks may be used again when its last store is done.
func (s *server) retire(ctx context.Context, r *request) error {
	if err := r.stored.Wait(ctx); err != nil {
		return err
	}
	return r.session.Close()
}
