package storage_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// REQ-S56: after an outage the tier is back with the next probe, by itself, and
// what could not be stored meanwhile is.
func TestREQ_S56_BreakerRecovers(t *testing.T) {
	a, b := newShelf(), newShelf()
	w := newTierWorld(t, 16, []*shelf{a, b})
	down := true
	a.before = func(context.Context, string, []kv.Key) error {
		if down {
			return fmt.Errorf("%w: %w", l2.ErrIO, l2.ErrConnection)
		}
		return nil
	}
	b.keep(t, w.layout, "x")
	for range 3 {
		p := w.prefetch("x", storage.PrefetchOptions{})
		if r := w.wait(p); r.Prefix != 1 {
			t.Fatalf("the other tier does not serve: %+v", r)
		}
		p.Release()
	}
	w.put("ab")
	w.after(10 * time.Second)
	if a.has() != "" || b.has() != "abx" {
		t.Errorf("during the outage: %q and %q", a.has(), b.has())
	}
	p := w.prefetch("y", storage.PrefetchOptions{})
	if r := w.wait(p); r.Miss[0] != storage.MissAdapterOpen {
		t.Errorf("missed because of %v", r.Miss)
	}
	p.Release()
	down = false
	w.after(15 * time.Second)
	if s := w.m.Stats().Tiers[0]; s.Breaker != storage.BreakerClosed || !s.Healthy || a.has() != "ab" {
		t.Errorf("after the outage: %+v; it has %q", s, a.has())
	}
	var states []string
	for _, e := range w.events() {
		if strings.HasPrefix(e, "l2.adapter.state") {
			states = append(states, strings.TrimPrefix(e, "l2.adapter.state "))
		}
	}
	want := []string{
		"0 closed -> open io", "0 open -> half_open probe", "0 half_open -> open io",
		"0 open -> half_open probe", "0 half_open -> closed answered",
	}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

// REQ-S57: what an adapter remembers does not say that its store answers.
func TestREQ_S57_CachedHitsProveNothing(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 16, []*shelf{s})
	s.keep(t, w.layout, "abc")
	s.before = func(_ context.Context, op string, _ []kv.Key) error {
		if op != "lookup" { // those it knows by heart
			return l2.ErrConnection
		}
		return nil
	}
	w.broken("a")
}

// broken asks for what cannot be had until the first tier is given up.
func (w *world) broken(name string) {
	w.t.Helper()
	for range 3 {
		p := w.prefetch(name, storage.PrefetchOptions{})
		w.wait(p)
		p.Release()
	}
	if st := w.m.Stats().Tiers[0]; st.Breaker != storage.BreakerOpen {
		w.t.Fatalf("the breaker is %s", st.Breaker)
	}
}

// A cluster of which one node is away is not given up because the probe asks for what
// would lie on that node.
func TestBreakerProbesAllNodes(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 16, []*shelf{s})
	down := true
	asked := map[kv.Key]int{}
	var away kv.Key
	s.before = func(_ context.Context, op string, list []kv.Key) error {
		if w.m.Stats().Tiers[0].Breaker == storage.BreakerHalfOpen {
			if asked[list[0]]++; away == (kv.Key{}) {
				away = list[0]
			}
			if list[0] != away {
				return nil
			}
		}
		if down || list[0] == away {
			return l2.ErrConnection
		}
		return nil
	}
	w.broken("a")
	down = false
	w.after(time.Minute)
	if st := w.m.Stats().Tiers[0]; st.Breaker != storage.BreakerClosed || len(asked) != 2 || asked[away] != 1 {
		t.Errorf("the breaker is %s; %v were asked for", st.Breaker, asked)
	}
}

// The start asks each tier for a test object: one that cannot be reached starts
// with an open breaker, one that answers with something else is an error.
func TestStartProbe(t *testing.T) {
	open := func(s l2.Adapter) (storage.Stats, error) {
		v := storage.VirtualOptions{Models: []storage.Model{{}}}
		m, _, err := storage.OpenVirtual(storage.Options{
			L1: l1Bytes(8), Tiers: []storage.Tier{{Name: "shelf", Adapter: s}},
		}, v)
		if err != nil {
			return storage.Stats{}, err
		}
		st := m.Stats()
		return st, m.Close(t.Context())
	}
	s := newShelf()
	if st, err := open(s); err != nil || st.Tiers[0].Breaker != storage.BreakerClosed || s.has() != "" || s.count("store") != 1 {
		t.Errorf("good: %v, %+v, %d stores", err, st.Tiers, s.count("store"))
	}
	s = newShelf()
	s.before = func(context.Context, string, []kv.Key) error { return l2.ErrConnection }
	if st, err := open(s); err != nil || st.Tiers[0].Breaker != storage.BreakerOpen {
		t.Errorf("unreachable: %v, %+v", err, st.Tiers)
	}
	s = newShelf()
	s.item = func(op string, it *l2.Item) {
		if op == "load" {
			it.Data[3] ^= 1
		}
	}
	if _, err := open(s); err == nil || !strings.Contains(err.Error(), "start probe") || !s.closed {
		t.Errorf("corrupting: %v, closed %v", err, s.closed)
	}
	s = newShelf()
	s.before = func(_ context.Context, op string, _ []kv.Key) error {
		if op == "store" {
			return l2.ErrRefused
		}
		return nil
	}
	_, err := open(s)
	if e, ok := errors.AsType[*storage.StartError](err); !ok || e.Tier != 0 || e.Name != "shelf" || e.Err.Error() != "start probe: store: refused by the store" {
		t.Errorf("refusing: %v", err)
	}
	s = newShelf()
	_, err = open(secretive{s})
	if e, ok := errors.AsType[*storage.StartError](err); !ok || e.Err.Error() != "start probe: lookup of what is not there: refused by the store" || s.has() != "" {
		t.Errorf("a store that refuses to say that an object is not there: %v, it has %q", err, s.has())
	}
}

// secretive is a shelf that refuses to say that an object is not there, as a bucket does
// to those who may not list it.
type secretive struct{ *shelf }

func (s secretive) Lookup(ctx context.Context, keys []kv.Key, found []l2.Found) error {
	if err := s.shelf.Lookup(ctx, keys, found); err != nil {
		return err
	}
	for i := range found {
		if !found[i].OK {
			found[i] = l2.Found{Err: l2.ErrRefused}
		}
	}
	return nil
}

// After an outage a store that refuses the question of the probe is back all the same: it
// has been reached, and what it does not refuse goes on.
func TestRefusalEndsTheOutage(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 16, []*shelf{s}, func(o *storage.Options) { o.Tiers[0].Adapter = secretive{s} })
	s.keep(t, w.layout, "x")
	down := true
	s.before = func(context.Context, string, []kv.Key) error {
		if down {
			return l2.ErrConnection
		}
		return nil
	}
	for range l2.DefaultFailures {
		p := w.prefetch("x", storage.PrefetchOptions{})
		w.wait(p)
		p.Release()
	}
	if st := w.m.Stats().Tiers[0]; st.Breaker != storage.BreakerOpen {
		t.Fatalf("the breaker is %s", st.Breaker)
	}
	down = false
	w.after(time.Minute)
	p := w.prefetch("x", storage.PrefetchOptions{})
	if r := w.wait(p); r.Prefix != 1 || w.m.Stats().Tiers[0].Breaker != storage.BreakerClosed {
		t.Errorf("%+v, the breaker is %s", r, w.m.Stats().Tiers[0].Breaker)
	}
	p.Release()
}

// During an outage what was dropped from the backlog leaves the queue of the tier
// too: the queue does not grow as long as the outage lasts.
func TestOutageKeepsQueueShort(t *testing.T) {
	s := newShelf()
	const backlog = 4
	w := newTierWorld(t, 16, []*shelf{s}, func(o *storage.Options) { o.Store.MaxBacklog = backlog })
	s.before = func(context.Context, string, []kv.Key) error { return l2.ErrConnection }
	for n := 0; w.m.Stats().Tiers[0].Breaker == storage.BreakerClosed; n++ {
		if n == 100 {
			t.Fatal("the breaker stays closed")
		}
		w.put(string(rune('a' + n)))
		w.after(time.Second)
	}
	for n := range rune(1000) {
		w.put(string(0x1000 + n))
	}
	if n := storage.QueuedStores(w.m, 0); n > 2*backlog {
		t.Errorf("the queue of the tier has %d entries, the backlog %d at most", n, backlog)
	}
}

// An object that the store never takes in time opens the breaker again and again, but
// not for ever: it is given up, and the others get through.
func TestOneObjectDoesNotKeepATierAway(t *testing.T) {
	s := newShelf()
	s.before = func(_ context.Context, op string, keys []kv.Key) error {
		if op == "store" && strings.Contains(named(keys), "x") {
			return fmt.Errorf("%w: too slow", l2.ErrTimeout)
		}
		return nil
	}
	w := newTierWorld(t, 16, []*shelf{s}, func(o *storage.Options) { o.Tiers[0].Settings.PerOpWorkers = 1 })
	w.put("x")
	w.after(10 * time.Minute)
	st := w.m.Stats()
	if st.Stores.Pending != 0 || st.Stores.Dropped != 1 || st.Tiers[0].Breaker != storage.BreakerClosed {
		t.Errorf("stores %+v, the breaker is %s", st.Stores, st.Tiers[0].Breaker)
	}
	if n := s.count("store"); n != 9 {
		t.Errorf("the store was asked %d times", n)
	}
	w.put("abc")
	w.flush()
	if s.has() != "abc" {
		t.Errorf("stored: %s", s.has())
	}
	if got := w.onlyKinds("l2.store.dropped"); len(got) != 1 || got[0] != "l2.store.dropped 0 keys=1 retries" {
		t.Errorf("events %q", got)
	}
}
