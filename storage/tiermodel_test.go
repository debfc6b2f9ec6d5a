package storage_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// faults makes a shelf fail now and then, in all the ways that the contract knows.
func faults(rng *rand.Rand, s *shelf) {
	calls := []error{l2.ErrIO, l2.ErrConnection, l2.ErrTimeout, l2.ErrThrottled, l2.ErrClosed}
	s.before = func(context.Context, string, []kv.Key) error {
		switch n := rng.IntN(100); {
		case n < 6:
			return fmt.Errorf("%w: injected", calls[rng.IntN(len(calls))])
		case n == 6:
			panic("injected")
		}
		return nil
	}
	items := []error{l2.ErrNotFound, l2.ErrIO, l2.ErrCorrupt, l2.ErrTimeout, l2.ErrNoSpace, l2.ErrTooLarge, l2.ErrConnection}
	s.item = func(op string, it *l2.Item) {
		switch n := rng.IntN(100); {
		case n < 8:
			it.Err = items[rng.IntN(len(items))]
			if op == "load" && it.Err == l2.ErrNotFound { //nolint:errorlint // it is one of the list
				s.lose(it.Key)
			}
		case op == "load" && n < 11: // silent damage
			it.Data[rng.IntN(len(it.Data))] ^= 4
		case op == "load" && n < 13:
			it.Head[rng.IntN(len(it.Head))] ^= 4
		case op == "load" && n < 15:
			it.N = int64(rng.IntN(len(it.Data)))
		}
	}
}

// tally counts events by name, and what belongs together by request or task.
func tally(lines []string, into map[string]int) {
	for _, line := range lines {
		name, rest, _ := strings.Cut(line, " ")
		into[name]++
		switch name {
		case "l2.prefetch.lookup.submitted", "l2.prefetch.lookup.completed", "l2.prefetch.load.submitted", "l2.prefetch.load.completed",
			"l2.store.submitted", "l2.store.completed":
			id, _, _ := strings.Cut(rest, " ")
			into[strings.TrimSuffix(strings.TrimSuffix(name, ".submitted"), ".completed")+" of "+id]++
		case "sm.prefetch.resolved":
			id, _, _ := strings.Cut(rest, "/")
			if id != "id=-1" {
				into["resolved "+id]++
			}
		}
	}
}

// erase begins a deletion in a tier, and checks its result: no key counts twice.
func (w *world) erase(names string, tier int) {
	w.t.Helper()
	err := w.m.StartDeleteL2(keys(names), tier, func(r []storage.TierResult) {
		if n := r[0].Deleted + r[0].Skipped; n > len(names) || r[0].Err != nil && n > 0 {
			w.t.Errorf("deleting %q: %+v", names, r)
		}
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// runTiers does random things with three tiers that fail at random, and checks that
// nothing wrong is read, that all is resolved and announced once, and that nothing is
// left behind.
func runTiers(t *testing.T, seed uint64, steps int) (loads int) {
	rng := rand.New(rand.NewPCG(seed, 99))
	shelves := []*shelf{newShelf(), newShelf(), newShelf()}
	for _, s := range shelves {
		faults(rng, s)
	}
	v := storage.VirtualOptions{Seed: seed}
	w := openWorld(t, int64(6+rng.IntN(20)), &v, withTiers(&v, shelves...), func(o *storage.Options) {
		o.Tiers[1].Settings.Capacity = int64(4+rng.IntN(12)) * storedBytes()
		o.Tiers[2].Settings.Capacity = 20 * storedBytes()
		o.Tiers[2].Settings.Eviction = &l2.Eviction{Policy: l2.PolicyLRU, Watermark: 0.7, Ratio: 0.3}
		o.Prefetch.MaxInflight = 1 + rng.IntN(4)
		o.Prefetch.Timeout = time.Duration(5+rng.IntN(100)) * time.Millisecond
		o.Store.MaxBacklog = 2 + rng.IntN(20)
		if rng.IntN(2) == 0 {
			o.Prefetch.Policy = storage.PrefetchRetain()
		}
		if rng.IntN(4) == 0 {
			o.Store.Policy = storage.StoreSkipL1()
		}
	})
	const names = "abcdefghijklmnopqrstuvwx"
	counts := map[string]int{}
	var open []*storage.Prefetch
	check := func(p *storage.Prefetch) {
		r, known := p.Status()
		if !known {
			return
		}
		for i := range p.Keys() {
			if !r.Found.Has(i) || p.ID() >= 0 && rng.IntN(3) == 0 {
				continue
			}
			l, err := p.Read(t.Context(), storage.Select{Lo: i, Hi: i + 1})
			if err != nil {
				continue // it was claimed before, or is a warm one
			}
			for _, b := range l.All() {
				if name := named(p.Keys()[i : i+1]); !filledWith(b, name[0]) {
					t.Fatalf("seed %d: object %s has foreign bytes", seed, name)
				}
			}
			l.Finish()
		}
	}
	for range steps {
		lo := rng.IntN(len(names))
		part := names[lo:min(len(names), lo+1+rng.IntN(6))]
		switch n := rng.IntN(22); {
		case n < 5:
			w.put(part)
		case n < 13:
			o := storage.PrefetchOptions{Readers: 1 + rng.IntN(2), Policy: storage.Policy(rng.IntN(2)), Warm: rng.IntN(8) == 0, SkipL2: rng.IntN(10) == 0}
			if rng.IntN(4) == 0 {
				o.Deadline = time.Duration(1+rng.IntN(4000)) * time.Microsecond
			}
			open = append(open, w.prefetch(part+part[:rng.IntN(2)], o))
		case n < 16 && len(open) > 0:
			k := rng.IntN(len(open))
			if rng.IntN(2) == 0 {
				w.wait(open[k])
			}
			check(open[k])
			open[k].Release()
			open = append(open[:k], open[k+1:]...)
		case n == 16:
			w.m.Delete(keys(part), rng.IntN(2) == 0)
		case n == 17:
			w.m.Clear(rng.IntN(2) == 0)
		case n == 20:
			w.erase(part+part[:rng.IntN(2)], rng.IntN(len(shelves)))
		case n == 18:
			w.after(time.Duration(rng.IntN(10)) * time.Second) // breakers may close
		default:
			w.after(time.Duration(rng.IntN(4000)) * time.Microsecond)
		}
		if rng.IntN(50) == 0 {
			if err := w.m.Check(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		tally(w.events(), counts)
	}
	for _, p := range open {
		w.wait(p)
		check(p)
		p.Release()
	}
	for _, s := range shelves {
		s.before, s.item = nil, nil
	}
	w.after(10 * time.Minute) // breakers close, and what waits is stored
	w.flush()
	tally(w.events(), counts)
	st := w.m.Stats()
	if st.L1.LeasedBytes != 0 || st.L1.StagedBytes != 0 || st.L1.OrphanedBytes != 0 || st.Stores.Tasks != 0 || st.Fetches.Load != 0 || st.Fetches.InflightBytes != 0 || st.Fetches.Completed != 0 {
		t.Errorf("seed %d: left behind: %+v, %+v, %d bytes leased, %d staged, %d orphaned", seed, st.Stores, st.Fetches, st.L1.LeasedBytes, st.L1.StagedBytes, st.L1.OrphanedBytes)
	}
	for i, s := range st.Tiers {
		if s.Pins != 0 || s.Breaker != storage.BreakerClosed || s.UsedBytes != shelves[i].bytes() || s.CapacityBytes > 0 && s.UsedBytes > s.CapacityBytes {
			t.Errorf("seed %d: tier %d: %+v; it has %d bytes", seed, i, s, shelves[i].bytes())
		}
	}
	for name, n := range counts {
		if strings.Contains(name, " of ") && n != 2 || strings.HasPrefix(name, "resolved ") && n != 1 {
			t.Errorf("seed %d: %s: %d times", seed, name, n)
		}
	}
	if counts["l2.load_task.submitted"] != counts["l2.load_task.completed"] {
		t.Errorf("seed %d: %d loads began, %d ended", seed, counts["l2.load_task.submitted"], counts["l2.load_task.completed"])
	}
	return counts["l2.load_task.submitted"]
}

// Random operations over tiers that fail at random.
func TestREQ_S9_TiersUnderRandomFaults(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 10
	}
	loads := 0
	for seed := range uint64(seeds) {
		loads += runTiers(t, seed, 400)
	}
	if loads < 4*seeds {
		t.Errorf("only %d loads", loads)
	}
}
