package storage_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// slowShelf is a shelf whose Close takes its time.
type slowShelf struct {
	*shelf
	hold chan struct{}
}

func (s slowShelf) Close() error {
	<-s.hold
	return s.shelf.Close()
}

// Close with a call that never returns, or an adapter that does not close, ends with
// its context and says which tier holds what. Another tier is closed. What was left
// behind goes when the call returns.
func TestCloseWithCallsThatNeverReturn(t *testing.T) {
	for _, tt := range []struct{ name, says string }{
		{"store", "storage: close: tier stuck: 1 calls hold 8192 bytes of 2 keys, the oldest, store of 2 keys, for 4s: "},
		{"load", "storage: close: tier stuck: 1 calls hold 4096 bytes of 1 keys, the oldest, load of 1 keys, for 4s: "},
		{"lookup", "storage: close: tier stuck: 1 calls hold 0 bytes of 1 keys, the oldest, lookup of 1 keys, for 4s: "},
		{"close", "storage: close: tier stuck: the adapter is closing: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				leak.Check(t)
				a, b := newShelf(), newShelf()
				hold := make(chan struct{})
				closing := slowShelf{a, make(chan struct{})}
				if tt.name != "close" {
					close(closing.hold)
				}
				a.before = func(_ context.Context, op string, _ []storage.Key) error {
					if op == tt.name {
						<-hold
					}
					return nil
				}
				w := &world{t: t, layout: rawLayout(t, objectBytes)}
				o := storage.Options{L1: l1.Options{Bytes: 64 * objectBytes}, DrainTimeout: 2 * time.Second}
				withTiers(&storage.VirtualOptions{}, a, b)(&o)
				o.Tiers[0].Name, o.Tiers[0].Adapter = "stuck", closing
				o.Tiers[0].Settings.Workers = 1
				var err error
				if w.m, err = storage.Open(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				switch tt.name {
				case "store":
					w.put("ab")
				case "load", "lookup":
					a.keep(t, w.layout, "a")
					p := w.prefetch("a", storage.PrefetchOptions{})
					defer p.Release()
				}
				synctest.Wait()
				ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
				defer cancel()
				began := time.Now()
				err = w.m.Close(ctx)
				want := 4 * time.Second
				if tt.name == "close" {
					want += time.Second
				}
				if took := time.Since(began); took != want {
					t.Errorf("it took %v", took)
				}
				if !errors.Is(err, storage.ErrTierBusy) || !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), tt.says) {
					t.Errorf("Close: %v", err)
				}
				var held *l1.LeakError
				if moves := tt.name == "store" || tt.name == "load"; errors.As(err, &held) != moves {
					t.Errorf("Close: %v", err)
				}
				if a.closed || !b.closed {
					t.Errorf("closed: the stuck tier %v, the other one %v", a.closed, b.closed)
				}
				if tt.name == "close" {
					close(closing.hold)
				}
				close(hold)
				synctest.Wait()
				if !a.closed {
					t.Error("the adapter stays open after its call has returned")
				}
				if s := w.m.Stats(); s.L1.LeasedBytes != 0 || s.L1.StagedBytes != 0 || s.L1.OrphanedBytes != 0 || s.Tiers[0].InflightCalls != 0 {
					t.Errorf("left: %+v, %d calls", s.L1, s.Tiers[0].InflightCalls)
				}
			})
		})
	}
}
