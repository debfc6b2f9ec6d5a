package storage_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// asked is a runtime that calls a function when it is asked for the time.
type asked struct {
	*runtime.Live

	then atomic.Pointer[func()]
}

func (a *asked) Now() time.Time {
	if f := a.then.Swap(nil); f != nil {
		(*f)()
	}
	return a.Live.Now()
}

// A prefetch that meets the end of the manager half-way is answered and forgotten.
func TestPrefetchBesideClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leak.Check(t)
		s := newShelf()
		hold := make(chan struct{})
		s.before = func(context.Context, string, []kv.Key) error { <-hold; return nil }
		rt := &asked{Live: runtime.NewLive()}
		w := &world{t: t, layout: rawLayout(t, objectBytes)}
		o := storage.Options{L1: l1Bytes(8), Runtime: rt, DrainTimeout: -1}
		withTiers(&storage.VirtualOptions{}, s)(&o)
		var err error
		if w.m, err = storage.Open(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		first := w.prefetch("a", storage.PrefetchOptions{})
		closed := make(chan error)
		half := func() { // it has been let in; now the tiers are closing
			go func() { closed <- w.m.Close(context.WithoutCancel(t.Context())) }()
			w.wait(first)
		}
		rt.then.Store(&half)
		second := w.prefetch("b", storage.PrefetchOptions{})
		if r := w.wait(second); r.Prefix != 0 || r.Miss[0] != storage.MissClosed {
			t.Errorf("got %+v", r)
		}
		first.Release()
		second.Release()
		close(hold)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if f := w.m.Stats().Fetches; f.Draining != 0 || f.Completed != 0 || f.Stalled != 0 {
			t.Errorf("left behind: %+v", f)
		}
		rt.Close()
	})
}

// A load that returns when L1 has been closed gives its memory back.
func TestLoadReturnsAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leak.Check(t)
		s := newShelf()
		hold := make(chan struct{})
		s.before = func(_ context.Context, op string, _ []kv.Key) error {
			if op == "load" {
				<-hold
			}
			return nil
		}
		w := &world{t: t, layout: rawLayout(t, objectBytes)}
		s.keep(t, w.layout, "abc")
		o := storage.Options{L1: l1Bytes(8)}
		withTiers(&storage.VirtualOptions{}, s)(&o)
		var err error
		if w.m, err = storage.Open(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		p := w.prefetch("abc", storage.PrefetchOptions{})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var held *l1.LeakError
		if err := w.m.Close(ctx); !errors.Is(err, storage.ErrTierBusy) || !errors.As(err, &held) {
			t.Errorf("Close: %v", err)
		}
		if r := w.wait(p); r.Prefix != 0 {
			t.Errorf("got %+v", r)
		}
		p.Release()
		close(hold)
		synctest.Wait()
		if s := w.m.Stats().L1; s.Leases != 0 || s.StagedBytes != 0 || s.LeasedBytes != 0 || s.OrphanedBytes != 0 {
			t.Errorf("left behind: %d leases, %d bytes staged, %d leased, %d orphaned", s.Leases, s.StagedBytes, s.LeasedBytes, s.OrphanedBytes)
		}
		if err := w.m.Check(); err != nil {
			t.Error(err)
		}
	})
}
