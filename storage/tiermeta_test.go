package storage_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// tierSet is a set of options for perfect tiers: they never fail, have room for
// everything, and have all objects before the next look. So it does not matter what L1
// still has.
type tierSet struct {
	name    string
	live    bool
	objects int64 // of L1
	tiers   int
	change  func(*storage.Options)
	faults  bool // the tiers fail now and then: see tiersafe_test.go

	faulty  []*l2test.Faulty // of a run with faults
	chances *chances
}

func tierSets() []tierSet {
	each := func(f func(*l2.Settings)) func(*storage.Options) {
		return func(o *storage.Options) {
			for i := range o.Tiers {
				f(&o.Tiers[i].Settings)
			}
		}
	}
	return []tierSet{
		{name: "a tier behind a large L1", objects: 64, tiers: 1},
		{name: "a small L1", objects: 12, tiers: 1},
		{name: "three tiers", objects: 12, tiers: 3},
		{name: "live", live: true, objects: 12, tiers: 1},
		{name: "live, three tiers", live: true, objects: 64, tiers: 3},
		{name: "one call at a time", objects: 12, tiers: 2, change: each(func(s *l2.Settings) { s.Workers, s.PerOpWorkers = 1, 1 })},
		{name: "large calls", live: true, objects: 12, tiers: 2, change: each(func(s *l2.Settings) { s.Workers, s.PerOpWorkers = 8, 16 })},
		{name: "stores leave L1", objects: 12, tiers: 2, change: func(o *storage.Options) { o.Store.Policy = storage.StoreSkipL1() }},
		{name: "loads stay in L1", objects: 12, tiers: 2, change: func(o *storage.Options) { o.Prefetch.Policy = storage.PrefetchRetain() }},
		{name: "one load at a time", live: true, objects: 12, tiers: 2, change: func(o *storage.Options) { o.Prefetch.MaxInflight, o.Store.MaxInflight = 1, 1 }},
		{name: "L1 is not looked at", objects: 64, tiers: 1, change: func(o *storage.Options) { o.Prefetch.IgnoreL1 = true }},
		{name: "L1 with a watermark", objects: 12, tiers: 1, change: func(o *storage.Options) { o.L1.Mode = l1.ModeWatermark }},
		{name: "other victims in L1", objects: 12, tiers: 1, change: func(o *storage.Options) { o.L1.Policy = "RecencyFrequency" }},
		{name: "tenants apart", objects: 12, tiers: 1, change: func(o *storage.Options) { o.L1.Policy = "IsolatedLRU" }},
		{name: "eviction in the tier that is never due", objects: 12, tiers: 2, change: each(func(s *l2.Settings) {
			s.Capacity, s.Eviction = 1<<30, &l2.Eviction{Policy: l2.PolicyLRU, Watermark: 1, Ratio: .5}
		})},
	}
}

// run runs a list of operations beside a set of names, and returns what lookups found.
func (s *tierSet) run(t *testing.T, seed uint64, ops []byte) (results []string) {
	shelves := make([]*shelf, s.tiers)
	for i := range shelves {
		shelves[i] = newShelf()
	}
	f := func(t *testing.T, w *world) { results = s.steps(t, w, seed, &script{ops}) }
	change := func(o *storage.Options) {
		if s.change != nil {
			s.change(o)
		}
		if s.faults {
			s.fail(seed, o)
		}
	}
	if s.live {
		live(t, s.objects, shelves, f, change)
	} else {
		f(t, newTierWorld(t, s.objects, shelves, change))
	}
	return results
}

func (s *tierSet) steps(t *testing.T, w *world, seed uint64, ops *script) (results []string) {
	const names, chain = "abcdefghijklmnopqrstuvwx", 6 // each of these prompts fits L1 twice
	there := map[rune]bool{}
	for n := 0; len(ops.ops) > 0; n++ {
		prompt := names[ops.n(len(names)/chain)*chain:][:chain]
		lo := ops.n(chain)
		part := prompt[lo:min(chain, lo+1+ops.n(chain))]
		switch op := ops.n(16); {
		case op < 4:
			w.put(part)
			w.flush()
			for _, c := range part {
				there[c] = true
			}
		case op < 12:
			o := storage.PrefetchOptions{Policy: storage.Policy(ops.n(2)), Readers: 1 + ops.n(2)}
			part += part[:ops.n(2)] // a repeated key
			got, want := s.look(t, w, part, o), ""
			for _, c := range part {
				if there[c] {
					want += string(c)
				} else if o.Policy == storage.Prefix {
					break
				}
			}
			if got != want && (!s.faults || !within(got, want, o.Policy)) {
				t.Fatalf("seed %d, %s, step %d: a %v lookup of %s finds %q, want %q", seed, s.name, n, o.Policy, part, got, want)
			}
			results = append(results, fmt.Sprintf("%d: %s", n, got))
		case op == 12:
			_, err := w.m.DeleteL2(t.Context(), keys(part), storage.AllTiers)
			if err != nil && !s.faults {
				t.Fatal(err)
			}
			w.m.Delete(keys(part), true)
			for _, c := range part {
				if !s.faults { // of which nobody knows what they have deleted
					delete(there, c)
				}
			}
		case op == 13:
			w.m.Clear(ops.n(2) == 0)
		case op == 14:
			w.m.Touch(keys(part))
		case w.v != nil:
			w.after(time.Duration(ops.n(100)) * time.Second)
		default:
			pass(time.Duration(ops.n(100)) * time.Second)
		}
		w.seen.lines, w.seen.times = nil, nil
	}
	if s.faults {
		s.recover(t, w, seed, names)
	}
	if s.live {
		synctest.Wait() // the last lookup has its objects, and the tier's call is about to end
	}
	if err := w.m.Check(); err != nil {
		t.Errorf("seed %d, %s: %v", seed, s.name, err)
	}
	if st := w.m.Stats(); st.L1.LeasedBytes != 0 || st.L1.StagedBytes != 0 || st.Tiers[0].Pins != 0 || st.Stores.Pending != 0 || len(st.Tiers[0].FailuresByReason) != 0 && !s.faults {
		t.Errorf("seed %d, %s: left behind: %+v, %+v", seed, s.name, st.Stores, st.Tiers[0])
	}
	return results
}

// look is the names that a lookup finds, all of which are read and compared.
func (s *tierSet) look(t *testing.T, w *world, part string, o storage.PrefetchOptions) string {
	p := w.prefetch(part, o)
	defer p.Release()
	r := w.wait(p)
	found := ""
	read := map[kv.Key]bool{}
	for i, k := range p.Keys() {
		if !r.Found.Has(i) {
			continue
		}
		found += part[i : i+1]
		if read[k] {
			continue
		}
		read[k] = true
		l, err := p.Read(context.WithoutCancel(t.Context()), storage.Select{Lo: i, Hi: i + 1})
		if err != nil {
			t.Fatalf("%s: %s was found and cannot be read: %v", s.name, part[i:i+1], err)
		}
		for _, b := range l.All() {
			if !filledWith(b, part[i]) {
				t.Fatalf("%s: %s has foreign bytes", s.name, part[i:i+1])
			}
		}
		l.Finish()
	}
	return found
}

// REQ-S40 with outer tiers: what is found depends on what was stored and on nothing
// else, as long as tiers do not fail; with ones that do, TestREQ_S40_MetamorphicFaults and
// TestREQ_S9_TiersUnderRandomFaults say what must hold all the same.
//
// SEED is the first list; with DURATION it goes on for so long. See make metamorphic.
func TestREQ_S40_MetamorphicTiers(t *testing.T) {
	seed, limit := seedAndDuration(t)
	began := time.Now()
	lists, runs, results, found := uint64(0), 0, 0, 0
	for ; lists < 4 || time.Since(began) < limit; lists++ {
		ops := newScript(seed+lists, 1500)
		var first []string
		for _, s := range tierSets() {
			got := s.run(t, seed+lists, ops)
			if runs++; first == nil {
				first = got
			}
			if !slices.Equal(got, first) {
				t.Fatalf("seed %d: %s differs from the first set: %q, want %q", seed+lists, s.name, got, first)
			}
			results += len(got)
			found += len(strings.Join(got, ""))
		}
	}
	t.Logf("seeds %d to %d in %v: %d runs, %d lookups compared", seed, seed+lists-1, time.Since(began).Round(time.Second), runs, results)
	if results == 0 || found == 0 {
		t.Error("the run proves nothing")
	}
}
