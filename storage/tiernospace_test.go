package storage_test

import (
	"context"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
)

// A store that says that it is full after its breaker has opened is left alone: nothing is
// deleted and nothing stored again before it is back. Then what it had no room for is.
func TestFullBehindAnOpenBreaker(t *testing.T) {
	s := newShelf()
	v := storage.VirtualOptions{}
	w := openWorld(t, 32, &v, withTiers(&v, s))
	w.put("a")
	w.flush()
	full := true
	s.item = func(op string, it *l2.Item) {
		if op == "store" && full {
			it.Err = l2.ErrNoSpace
		}
	}
	down := true
	s.before = func(_ context.Context, op string, _ []storage.Key) error {
		if op == "lookup" && down {
			return l2.ErrConnection
		}
		return nil
	}
	v.Models[0].Latency = time.Second
	w.put("b") // it is stored in a second, and refused then
	v.Models[0].Latency = 500 * time.Millisecond
	var all []*storage.Prefetch
	for _, n := range "xyz" {
		all = append(all, w.prefetch(string(n), storage.PrefetchOptions{}))
	}
	w.after(600 * time.Millisecond)
	if st := w.m.Stats().Tiers[0]; st.Breaker != storage.BreakerOpen || st.InflightCalls != 1 {
		t.Fatalf("the breaker is %s, %d calls are under way", st.Breaker, st.InflightCalls)
	}
	w.after(3 * time.Second)
	st := w.m.Stats()
	if st.Tiers[0].Breaker != storage.BreakerOpen || s.count("store") != 2 || s.count("delete") != 0 || st.Stores.Pending != 1 || st.Stores.Dropped != 0 {
		t.Errorf("the breaker is %s, %d stores and %d deletions; %+v", st.Tiers[0].Breaker, s.count("store"), s.count("delete"), st.Stores)
	}
	down, full = false, false
	w.after(10 * time.Second)
	if st := w.m.Stats(); st.Tiers[0].Breaker != storage.BreakerClosed || s.has() != "ab" || st.Stores.Pending != 0 {
		t.Errorf("the breaker is %s, stored is %q; %+v", st.Tiers[0].Breaker, s.has(), st.Stores)
	}
	for _, p := range all {
		p.Release()
	}
}

// A store that says that it is full after the tier has been stopped is not asked for
// anything any more.
func TestFullAfterTheEnd(t *testing.T) {
	s := newShelf()
	s.before = func(ctx context.Context, op string, list []storage.Key) error {
		if op == "store" && named(list) == "b" {
			<-ctx.Done() // the end
			pass(100 * time.Millisecond)
		}
		return nil
	}
	s.item = func(op string, it *l2.Item) {
		if op == "store" && it.Key == key("b") {
			it.Err = l2.ErrNoSpace
		}
	}
	live(t, 16, []*shelf{s}, func(_ *testing.T, w *world) {
		w.put("a")
		w.flush()
		w.put("b")
		pass(time.Millisecond)
	}, func(o *storage.Options) { o.DrainTimeout = time.Second })
	if s.count("store") != 2 || s.count("delete") != 0 || s.has() != "a" {
		t.Errorf("%d stores and %d deletions; stored is %q", s.count("store"), s.count("delete"), s.has())
	}
}
