package storage_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// The end of a manager is bounded by its context also where it is the end of an adapter
// that hangs: it may wait for a disk that is gone.
func TestCloseLeavesHangingAdapter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slowShelf{newShelf(), make(chan struct{})}
		m, err := storage.Open(t.Context(), storage.Options{
			L1: l1.Options{Bytes: 16 * objectBytes}, Tiers: []storage.Tier{{Name: "shelf", Adapter: s}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.Close(ctx); !errors.Is(err, storage.ErrTierBusy) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		close(s.hold)
		synctest.Wait()
		if !s.closed {
			t.Error("the adapter is not closed after all")
		}
	})
}

// rudeShelf panics in Close.
type rudeShelf struct{ *shelf }

// Close implements l2.Adapter.
func (rudeShelf) Close() error { panic("not now") }

// A panic of an adapter that closes is an error of Close: the process goes on.
func TestCloseSurvivesAdapter(t *testing.T) {
	m, err := storage.Open(t.Context(), storage.Options{
		L1: l1.Options{Bytes: 16 * objectBytes}, Tiers: []storage.Tier{{Name: "shelf", Adapter: rudeShelf{newShelf()}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "not now") {
		t.Errorf("Close: %v", err)
	}
}
