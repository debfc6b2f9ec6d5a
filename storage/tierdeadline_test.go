package storage_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// REQ-S64: the deadline of a prefetch that no tier was asked for yet, because too many
// others ask, gives what L1 has, and leaves nothing.
func TestREQ_S64_DeadlineInTheQueue(t *testing.T) {
	s := newShelf()
	v := storage.VirtualOptions{}
	w := openWorld(t, 128, &v, withTiers(&v, s), func(*storage.Options) { v.Models[0].Latency = 4 * time.Second })
	s.keep(t, w.layout, "b")
	w.put("a")
	w.flush()
	var others []*storage.Prefetch
	for i := range 64 {
		p, err := w.m.SubmitPrefetch(t.Context(), []storage.Key{key(fmt.Sprintf("o%d", i))}, w.layout, storage.PrefetchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, p)
	}
	s.before = func(_ context.Context, op string, list []storage.Key) error {
		if named(list) == "b" {
			t.Errorf("%s of what nobody waits for", op)
		}
		return nil
	}
	began := w.m.Now()
	p := w.prefetch("ab", storage.PrefetchOptions{Deadline: time.Second})
	if n := w.m.Stats().Fetches.Queued; n != 1 {
		t.Errorf("%d prefetches are queued, want 1", n)
	}
	r := w.wait(p)
	if took := w.m.Now().Sub(began); took != time.Second || r.Prefix != 1 || r.Miss[1] != storage.MissDeadline {
		t.Errorf("after %v: %+v", took, r)
	}
	if st := w.m.Stats(); st.Fetches.Queued != 0 || st.L1.StagedBytes != 0 || st.L1.LeasedBytes != objectBytes {
		t.Errorf("%d are queued, %d bytes staged, %d leased", st.Fetches.Queued, st.L1.StagedBytes, st.L1.LeasedBytes)
	}
	w.read(p, 1).Finish()
	p.Release()
	for _, p := range others {
		w.wait(p)
		p.Release()
	}
	w.v.Run()
	if n := strings.Count(strings.Join(w.events(), "\n"), " queued 1s of 1s: 1/1"); n != 1 {
		t.Errorf("%d events of a deadline in the queue", n)
	}
	if st := w.m.Stats(); st.L1.LeasedBytes != 0 || st.Tiers[0].Pins != 0 {
		t.Errorf("left: %d leased bytes, %d pins", st.L1.LeasedBytes, st.Tiers[0].Pins)
	}
}

// REQ-S64: the same for one that was looked up and waits for room to load into.
func TestREQ_S64_DeadlineBeforeTheLoad(t *testing.T) {
	s := newShelf()
	v := storage.VirtualOptions{}
	w := openWorld(t, 128, &v, withTiers(&v, s), func(o *storage.Options) {
		v.Models[0].Latency = 500 * time.Millisecond
		o.Prefetch.MaxInflight = 1
	})
	s.keep(t, w.layout, "bc")
	w.put("a")
	w.flush()
	first := w.prefetch("b", storage.PrefetchOptions{})
	began := w.m.Now()
	p := w.prefetch("ac", storage.PrefetchOptions{Deadline: 700 * time.Millisecond})
	r := w.wait(p)
	if took := w.m.Now().Sub(began); took != 700*time.Millisecond || r.Prefix != 1 || r.Miss[1] != storage.MissDeadline {
		t.Errorf("after %v: %+v", took, r)
	}
	if r := w.wait(first); r.Prefix != 1 {
		t.Errorf("the first one: %+v", r)
	}
	first.Release()
	p.Release()
	w.v.Run()
	if st := w.m.Stats(); st.L1.LeasedBytes != 0 || st.L1.StagedBytes != 0 || st.Tiers[0].Pins != 0 || s.loads[key("c")] != 0 {
		t.Errorf("left: %d leased bytes, %d staged, %d pins; %d loads of c", st.L1.LeasedBytes, st.L1.StagedBytes, st.Tiers[0].Pins, s.loads[key("c")])
	}
}

// A prefetch of more than its tier can load by the deadline gets what there is by then, and
// the tier, which has answered every call in its time, stays in service.
func TestLargePrefetchIsNoOutage(t *testing.T) {
	s := newShelf()
	v := storage.VirtualOptions{}
	w := openWorld(t, 256, &v, withTiers(&v, s))
	const names = 200
	list := make([]storage.Key, names)
	for i := range list {
		list[i] = kv.Key{Hash: kv.Hash32(padded(string(rune(0x100 + i)))), Model: "m", Rank: 0x01000100}
	}
	for _, k := range list {
		s.keep(t, w.layout, named([]storage.Key{k}))
	}
	v.Models[0].Latency = 4 * time.Second
	began := w.m.Now()
	p, err := w.m.SubmitPrefetch(t.Context(), list, w.layout, storage.PrefetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// The lookup takes one round, then 2 calls of 4 objects are loaded in each.
	r := w.wait(p)
	if took := w.m.Now().Sub(began); took != 30*time.Second || r.Prefix != 6*8 || r.Miss[names-1] != storage.MissDeadline {
		t.Errorf("after %v: prefix %d, the last one is missed because of %s", took, r.Prefix, r.Miss[names-1])
	}
	p.Release()
	w.after(3 * time.Second) // what was under way at the deadline has ended
	st := w.m.Stats()
	if t0 := st.Tiers[0]; t0.QueuedLoads != 0 || t0.InflightCalls != 0 || t0.Pins != 0 || st.L1.StagedBytes != 0 {
		t.Errorf("%d loads are queued, %d calls under way, %d keys pinned, %d bytes staged", t0.QueuedLoads, t0.InflightCalls, t0.Pins, st.L1.StagedBytes)
	}
	w.after(time.Minute)
	t0 := w.m.Stats().Tiers[0]
	if n := s.count("load"); t0.Breaker != storage.BreakerClosed || !t0.Healthy || n != 7*2 {
		t.Errorf("the breaker is %s, healthy %v, after %d loads", t0.Breaker, t0.Healthy, n)
	}
	if diff := cmp.Diff(map[string]int64{"timeout": names - 7*8}, t0.FailuresByReason); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
}

// Loads that end because those who asked for them are in a hurry say nothing about the
// store. Loads that hang say so, when the store has had its time.
func TestHurriedLoads(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		t.Run(fmt.Sprintf("hang %v", hangs), func(t *testing.T) {
			s := newShelf()
			var forever chan struct{} // of the bubble
			s.before = func(ctx context.Context, op string, _ []storage.Key) error {
				switch {
				case op != "load":
				case hangs:
					<-forever
				default: // it would take twenty seconds
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}
			live(t, 16, []*shelf{s}, func(t *testing.T, w *world) {
				forever = make(chan struct{})
				const names = "abcdef"
				s.keep(t, w.layout, names)
				began := w.m.Now()
				at := func(want time.Duration) storage.BreakerState {
					pass(want - w.m.Now().Sub(began))
					return w.m.Stats().Tiers[0].Breaker
				}
				for i := range len(names) { // each has its slot: it is given up after 12 seconds
					p := w.prefetch(names[i:i+1], storage.PrefetchOptions{Deadline: time.Second})
					if r := w.wait(p); r.Miss[0] != storage.MissDeadline {
						t.Errorf("got %+v", r)
					}
					p.Release()
					if state := at(time.Duration(i+1) * 6500 * time.Millisecond); state != storage.BreakerClosed && i < 4 {
						t.Errorf("load %d: the breaker is %s", i, state)
					}
				}
				// The third call has had 30 seconds, and one to return, after 13 seconds.
				if state := at(43 * time.Second); state != storage.BreakerClosed {
					t.Errorf("the breaker is %s", state)
				}
				want := storage.BreakerClosed
				if hangs {
					want = storage.BreakerOpen
				}
				if state := at(45 * time.Second); state != want {
					t.Errorf("the breaker is %s, want %s", state, want)
				}
				if n := s.count("load"); n != len(names) {
					t.Errorf("%d loads", n)
				}
				close(forever)
			})
		})
	}
}
