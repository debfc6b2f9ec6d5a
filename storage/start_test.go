package storage_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// A start that fails does not wait for ever for a store that does not let go of its
// test, as a disk behind a dead network does.
func TestFailedStartLeavesHangingStore(t *testing.T) {
	for name, tc := range map[string]struct {
		stop bool  // the caller's context ends
		want error // of the start
	}{
		"another store refuses": {false, l2.ErrIO},
		"the caller gives up":   {true, context.Canceled},
	} {
		synctest.Test(t, func(t *testing.T) {
			hung, broken := newShelf(), newShelf()
			released := make(chan struct{})
			hung.before = func(context.Context, string, []kv.Key) error { <-released; return nil }
			broken.before = func(context.Context, string, []kv.Key) error { return fmt.Errorf("refused: %w", l2.ErrIO) }
			o := storage.Options{L1: l1.Options{Bytes: 16 * objectBytes}}
			for i, s := range []*shelf{hung, broken} {
				o.Tiers = append(o.Tiers, storage.Tier{Name: fmt.Sprint("shelf", i), Adapter: s})
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tc.stop {
				time.AfterFunc(time.Second, cancel)
			}
			began := time.Now()
			_, err := storage.Open(ctx, o)
			if !errors.Is(err, tc.want) || !errors.Is(err, storage.ErrTierBusy) || time.Since(began) > time.Minute {
				t.Errorf("%s: after %v: %v", name, time.Since(began), err)
			}
			close(released)
			synctest.Wait()
		})
	}
}
