package storage_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/storage"
)

// One slow tier is asked for everything that another tier has at once. The questions that
// nobody waits for any more hold nobody up who asks for what only the slow tier has.
func TestDroppedLookupsHoldNobodyUp(t *testing.T) {
	fast, slow := newShelf(), newShelf()
	v := storage.VirtualOptions{}
	w := openWorld(t, 64, &v, withTiers(&v, fast, slow), func(*storage.Options) { v.Models[1].Latency = time.Second })
	fast.keep(t, w.layout, "a")
	slow.keep(t, w.layout, "b")
	const each = 5 * time.Millisecond // 200 a second, of which the slow tier could take 64
	for range 600 {
		p := w.prefetch("a", storage.PrefetchOptions{})
		if r := w.wait(p); r.Prefix != 1 {
			t.Fatalf("got %+v", r)
		}
		p.Release()
		w.after(each)
	}
	began := w.m.Now()
	p := w.prefetch("b", storage.PrefetchOptions{Deadline: 10 * time.Second})
	r := w.wait(p)
	p.Release()
	if took := w.m.Now().Sub(began); r.Prefix != 1 || took > 4*time.Second {
		t.Errorf("after %v: %+v", took, r)
	}
	if n := slow.count("lookup"); n > 5*64+1 {
		t.Errorf("the slow tier was asked %d times", n)
	}
	w.after(2 * time.Second)
	if st := w.m.Stats().Tiers[1]; st.InflightCalls != 0 || st.Pins != 0 {
		t.Errorf("%d calls and %d pins are left", st.InflightCalls, st.Pins)
	}
}

// A tier that is asked for more than it can answer in time is not away: what nobody waits
// for any more leaves its queue, and is not asked when its time is over.
func TestDroppedLookupsAreNoOutage(t *testing.T) {
	s := newShelf()
	v := storage.VirtualOptions{}
	w := openWorld(t, 16, &v, withTiers(&v, s), func(*storage.Options) { v.Models[0].Latency = time.Second })
	var all []*storage.Prefetch
	for n := range 2000 { // 200 a second for ten seconds
		list := []storage.Key{key(fmt.Sprintf("o%d", n))}
		p, err := w.m.SubmitPrefetch(t.Context(), list, w.layout, storage.PrefetchOptions{Deadline: 100 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		w.after(5 * time.Millisecond)
		all = append(all, p)
	}
	for _, p := range all {
		p.Release()
	}
	w.after(2 * time.Second)
	asked := s.count("lookup")
	if st := w.m.Stats().Tiers[0]; st.InflightCalls != 0 || asked < 600 || asked > 704 {
		t.Errorf("it was asked %d times, %d calls are left", asked, st.InflightCalls)
	}
	w.after(time.Minute)
	if st := w.m.Stats().Tiers[0]; st.Breaker != storage.BreakerClosed || len(st.FailuresByReason) != 0 || s.count("lookup") != asked {
		t.Errorf("the breaker is %s, failures %v, %d lookups more", st.Breaker, st.FailuresByReason, s.count("lookup")-asked)
	}
}

// What is asked for when all places are taken by calls that hang is answered by its
// deadline; the store, when it answers again, is not asked for it.
func TestLookupsBehindCallsThatHang(t *testing.T) {
	s := newShelf()
	var hang chan struct{} // of the bubble
	s.before = func(_ context.Context, op string, list []storage.Key) error {
		if op == "lookup" && named(list) != "a" {
			<-hang
		}
		return nil
	}
	live(t, 16, []*shelf{s}, func(t *testing.T, w *world) {
		hang = make(chan struct{})
		s.keep(t, w.layout, "a")
		for n := range 64 {
			list := []storage.Key{key(fmt.Sprintf("o%d", n))}
			p, err := w.m.SubmitPrefetch(t.Context(), list, w.layout, storage.PrefetchOptions{Deadline: 100 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			w.wait(p)
			p.Release()
		}
		p := w.prefetch("a", storage.PrefetchOptions{Deadline: time.Second})
		if r := w.wait(p); r.Miss[0] != storage.MissDeadline {
			t.Errorf("got %+v", r)
		}
		p.Release()
		close(hang)
		pass(time.Second)
		if n := s.count("lookup"); n != 64 {
			t.Errorf("the store was asked %d times", n)
		}
		p = w.prefetch("a", storage.PrefetchOptions{})
		if r := w.wait(p); r.Prefix != 1 {
			t.Errorf("got %+v", r)
		}
		p.Release()
	}, func(o *storage.Options) { o.Tiers[0].Settings.Timeouts.Lookup = time.Minute })
}
