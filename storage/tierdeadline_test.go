package storage_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/storage"
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
