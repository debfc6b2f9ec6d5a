package storage_test

import (
	"encoding/binary"
	"hash/fnv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// safeSets are sets of options whose tiers fail at random, or have little room. What is
// found is not known beforehand: it is among what was ever stored, and right.
func safeSets() []tierSet {
	small := func(o *storage.Options) {
		for i := range o.Tiers {
			o.Tiers[i].Settings.Capacity = 8 * storedBytes()
		}
	}
	return []tierSet{
		{name: "faults", objects: 12, tiers: 1, faults: true},
		{name: "faults, three small tiers", objects: 12, tiers: 3, change: small, faults: true},
		{name: "faults, live", live: true, objects: 12, tiers: 2, faults: true},
		{name: "faults, live, small tiers, loads stay in L1", live: true, objects: 64, tiers: 2, faults: true, change: func(o *storage.Options) {
			small(o)
			o.Prefetch.Policy = storage.PrefetchRetain()
		}},
		{name: "faults, live, stores leave L1", live: true, objects: 12, tiers: 2, faults: true, change: func(o *storage.Options) {
			o.Store.Policy = storage.StoreSkipL1()
		}},
	}
}

// chances chooses keys at random, the same ones each time the same things are asked.
type chances struct {
	seed uint64
	mu   sync.Mutex
	met  map[kv.Key]uint64
	hits int
}

// of is a Match that is right once in n times, by the key and how often it was met.
func (c *chances) of(fault byte, n uint64) func(kv.Key) bool {
	return func(k kv.Key) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.met[k]++
		h := fnv.New64a()
		b := binary.LittleEndian.AppendUint64(append(k.Hash.Append(nil), fault), c.met[k])
		_, _ = h.Write(binary.LittleEndian.AppendUint64(b, c.seed))
		if h.Sum64()>>20%n != 0 {
			return false
		}
		c.hits++
		return true
	}
}

// fail puts adapters that fail before those of all tiers.
func (s *tierSet) fail(seed uint64, o *storage.Options) {
	s.faulty = nil
	s.chances = &chances{seed: seed, met: map[kv.Key]uint64{}}
	for i := range o.Tiers {
		f := l2test.NewFaulty(o.Tiers[i].Adapter)
		o.Tiers[i].Adapter = f
		s.faulty = append(s.faulty, f)
		for n, fault := range []l2test.Fault{
			{Op: l2test.Store, Effect: l2test.Fail, Err: l2.ErrNoSpace},
			{Op: l2test.Store, Effect: l2test.Fail, Err: l2.ErrThrottled},
			{Op: l2test.Store, Effect: l2test.Lose},
			{Op: l2test.Store, Effect: l2test.FailCall, Err: l2.ErrConnection},
			{Op: l2test.Load, Effect: l2test.Fail, Err: l2.ErrNotFound},
			{Op: l2test.Load, Effect: l2test.Fail, Err: l2.ErrIO},
			{Op: l2test.Load, Effect: l2test.Short},
			{Op: l2test.Load, Effect: l2test.Corrupt},
			{Op: l2test.Load, Effect: l2test.BadHead},
			{Op: l2test.Load, Effect: l2test.FailCall, Err: l2.ErrConnection},
			{Op: l2test.Lookup, Effect: l2test.Fail, Err: l2.ErrThrottled},
			{Op: l2test.Lookup, Effect: l2test.FailCall, Err: l2.ErrConnection},
			{Op: l2test.Delete, Effect: l2test.Fail},
			{Op: l2test.Delete, Effect: l2test.FailCall},
			{Op: l2test.AnyOp, Effect: l2test.Panic, Err: l2.ErrIO},
		} {
			fault.Match = s.chances.of(byte(16*i+n), 24)
			f.Inject(fault)
		}
		if s.live { // where time goes by for those who wait
			f.Inject(l2test.Fault{Op: l2test.AnyOp, Effect: l2test.Hang, Match: s.chances.of(byte(16*i+15), 100)})
		}
	}
}

// within reports whether names that were found are some of those that may be.
func within(got, want string, policy storage.Policy) bool {
	if policy == storage.Prefix {
		return strings.HasPrefix(want, got)
	}
	for _, c := range got {
		_, rest, ok := strings.Cut(want, string(c))
		if !ok {
			return false
		}
		want = rest
	}
	return true
}

// recover ends the faults. Then nothing is held that nobody wants, and everything works.
func (s *tierSet) recover(t *testing.T, w *world, seed uint64, names string) {
	for _, f := range s.faulty {
		f.Clear()
	}
	if wait := 20 * time.Minute; s.live { // breakers close
		pass(wait)
	} else {
		w.after(wait)
	}
	s.chances.mu.Lock()
	if s.chances.hits == 0 {
		t.Errorf("seed %d, %s: there were no faults", seed, s.name)
	}
	s.chances.mu.Unlock()
	w.flush()
	w.m.Clear(true)
	for i, st := range w.m.Stats().Tiers {
		if st.Pins != 0 || st.ReservedBytes != 0 || st.InflightCalls != 0 || st.Breaker != storage.BreakerClosed || st.CapacityBytes > 0 && st.UsedBytes > st.CapacityBytes {
			t.Errorf("seed %d, %s: tier %d is left with %+v", seed, s.name, i, st)
		}
	}
	if st := w.m.Stats().L1; st.UsedBytes != 0 || st.OrphanedBytes != 0 {
		t.Errorf("seed %d, %s: L1 is left with %+v", seed, s.name, st)
	}
	const prompt = 6
	w.put(names[:prompt])
	w.flush()
	if got := s.look(t, w, names[:prompt], storage.PrefetchOptions{}); got != names[:prompt] {
		t.Errorf("seed %d, %s: when it is over %q is found of %q", seed, s.name, got, names[:prompt])
	}
}

// REQ-S40, REQ-S9: the same operations as in TestREQ_S40_MetamorphicTiers, with tiers
// that fail: what is found is among what the map has, every byte of it is right, and
// nothing is left behind.
func TestREQ_S40_MetamorphicFaults(t *testing.T) {
	seed, limit := seedAndDuration(t)
	began := time.Now()
	lists, runs, faults, found := uint64(0), 0, 0, 0
	for ; lists < 10 || time.Since(began) < limit; lists++ {
		ops := newScript(seed+lists, 1000)
		for _, s := range safeSets() {
			got := s.run(t, seed+lists, ops)
			runs++
			faults += s.chances.hits
			found += len(strings.Join(got, ""))
		}
	}
	t.Logf("seeds %d to %d in %v: %d runs, %d faults, %d objects found", seed, seed+lists-1, time.Since(began).Round(time.Second), runs, faults, found)
	if faults == 0 || found == 0 {
		t.Error("the run proves nothing")
	}
}
