package storage_test

import (
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// A prefetch that waits for room in L1 behind one that is larger begins as soon as
// that one is gone, for whatever reason: there is room for it.
func TestPrefetchBeginsWhenTheOneBeforeItIsGone(t *testing.T) {
	for _, tt := range []struct {
		name string
		big  storage.PrefetchOptions
		gone time.Duration // after the submission
	}{
		{name: "released", gone: 11 * time.Second},
		{name: "its deadline", gone: 12 * time.Second, big: storage.PrefetchOptions{Deadline: 12 * time.Second}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShelf()
			v := storage.VirtualOptions{}
			w := openWorld(t, 128, &v, withTiers(&v, s), func(o *storage.Options) {
				v.Models[0].Latency = 10 * time.Second
				o.Prefetch.MaxBytes = 4 * objectBytes
				o.Prefetch.Timeout = 200 * time.Second
				o.Tiers[0].Settings.Workers = 4
				o.Tiers[0].Settings.Timeouts.Lookup = 20 * time.Second
			})
			s.keep(t, w.layout, "abcdefg")
			began := w.m.Now()
			first := w.prefetch("ab", storage.PrefetchOptions{})
			big := w.prefetch("cdef", tt.big)
			small := w.prefetch("g", storage.PrefetchOptions{})
			w.after(tt.gone - time.Nanosecond)
			if n := w.m.Stats().Fetches; n.Load != 1 || n.Waiting != 2 {
				t.Fatalf("one should load and two wait: %+v", n)
			}
			w.after(time.Nanosecond)
			if tt.big.Deadline == 0 {
				big.Release()
			}
			if r := w.wait(small); r.Prefix != 1 {
				t.Errorf("the small one: %+v", r)
			}
			if took, want := w.m.Now().Sub(began), tt.gone+10*time.Second; took != want {
				t.Errorf("the small one took %v, want %v", took, want)
			}
			if r := w.wait(first); r.Prefix != 2 {
				t.Errorf("the first one: %+v", r)
			}
			for _, p := range []*storage.Prefetch{first, big, small} {
				p.Release()
			}
			w.v.Run()
			if st := w.m.Stats(); st.L1.LeasedBytes != 0 || st.L1.StagedBytes != 0 || st.Tiers[0].Pins != 0 {
				t.Errorf("left: %d leased bytes, %d staged, %d pins", st.L1.LeasedBytes, st.L1.StagedBytes, st.Tiers[0].Pins)
			}
		})
	}
}

// lateKeeper calls between once while a prefetch reserves memory.
type lateKeeper struct {
	storage.PrefetchPolicy
	between func()
}

func (k *lateKeeper) Keep(kv.Key) bool {
	if f := k.between; f != nil {
		k.between = nil
		f()
	}
	return false
}

// A writer that finishes an object while a prefetch that needs it is being planned does
// not keep it waiting.
func TestWriterFinishesWhilePrefetchIsPlanned(t *testing.T) {
	s := newShelf()
	during := &lateKeeper{PrefetchPolicy: storage.PrefetchDefault()}
	w := newTierWorld(t, 16, []*shelf{s}, func(o *storage.Options) { o.Prefetch.Policy = during })
	s.keep(t, w.layout, "b")
	l := w.reserve("a", storage.New)
	for _, b := range l.All() {
		fill(b, 'a')
	}
	finished := false
	during.between = func() {
		l.Finish()
		finished = true
	}
	began := w.m.Now()
	p := w.prefetch("ab", storage.PrefetchOptions{})
	if r := w.wait(p); r.Prefix != 2 || !finished {
		t.Errorf("%+v; the writer has finished: %v", r, finished)
	}
	if took := w.m.Now().Sub(began); took != 2*time.Millisecond { // a lookup and a load
		t.Errorf("it took %v", took)
	}
	w.read(p, 2).Finish()
	p.Release()
	if p = w.prefetch("ab", storage.PrefetchOptions{}); w.wait(p).Prefix != 2 {
		t.Error("what came afterwards does not find both")
	}
	p.Release()
}
