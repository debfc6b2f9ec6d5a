package l1_test

import (
	"math/rand/v2"
	"testing"

	"github.com/lmcache-go/lmcache/eventbus/eventbustest"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Prompts share stems and are stored in several calls, linked by lookups of the
// whole prompt or by hints. What leaves by eviction is never before what stays,
// but for the breaks that are counted.
func TestREQ_S38_EvictionKeepsPrefixesClosed(t *testing.T) {
	for seed := range uint64(10) {
		rnd := rand.New(rand.NewPCG(seed, 38))
		bus := eventbustest.NewManualBus(t)
		w := eventbustest.NewWatcher(t, bus)
		eventbustest.Watch[l1.KeysEvicted](w)
		f := newFixture(t, l1.Options{Bytes: int64(40+rnd.IntN(60)) * unit, NoBytes: true, Bus: bus})
		before := map[kv.Key]kv.Key{} // predecessor
		gone := map[kv.Key]bool{}     // left by eviction and not come back
		all := map[kv.Key]bool{}
		evicted := 0
		var reads []l1.ReadLease
		for step := range 200 {
			prompt := rnd.IntN(12)
			stem := rnd.IntN(10)
			keys := append(chunks(100+prompt%3, 0, stem), chunks(1000+prompt*16+stem, stem, stem+1+rnd.IntN(25))...)
			for i, k := range keys {
				if i > 0 {
					before[k] = keys[i-1]
				}
				all[k] = true
			}
			hint := rnd.IntN(2) == 0
			if !hint { // the lookup names the whole prompt
				r := f.read(1, keys...)
				if seed%2 == 1 && rnd.IntN(5) == 0 {
					reads = append(reads, r)
				} else {
					r.Finish(f.now(), []l1.ReadCause{l1.CauseRead, l1.CauseUnused}[rnd.IntN(2)])
				}
			}
			for lo := 0; lo < len(keys); {
				hi := min(lo+1+rnd.IntN(12), len(keys))
				o := l1.WriteOptions{}
				if hint && lo > 0 {
					o.After = keys[lo-1]
				}
				l, err := f.m.ReserveWrite(f.now(), keys[lo:hi], f.layout, l1.WriteNew, o)
				if err != nil {
					t.Fatal(err)
				}
				oom := false
				for i := range hi - lo {
					oom = oom || l.Code(i) == l1.OutOfMemory
				}
				l.Finish(f.now(), l1.OriginNew)
				lo = hi
				if oom {
					break // a writer without memory for a chunk does not write what follows
				}
			}
			if len(reads) > 0 && rnd.IntN(3) == 0 {
				reads[0].Finish(f.now(), l1.CauseRead)
				reads = reads[1:]
			}
			for _, e := range eventbustest.Of[l1.KeysEvicted](w) {
				for _, k := range e.Keys {
					if e.Cause != l1.CauseEvict {
						t.Fatalf("cause %q", e.Cause)
					}
					gone[k] = true
					evicted++
				}
			}
			w.Clear()
			if step%10 != 0 {
				continue
			}
			here := map[kv.Key]bool{}
			for k := range all {
				if f.resident(k) == 1 {
					here[k] = true
					delete(gone, k)
				}
			}
			broken := 0
			for k := range here {
				if p, ok := before[k]; ok && gone[p] {
					broken++
				}
			}
			if breaks := f.m.Stats().PrefixBreaks; broken > 0 && breaks == 0 {
				t.Fatalf("seed %d: %d chunks are without the chunk before, %d breaks are counted", seed, broken, breaks)
			}
			f.check()
		}
		if breaks := f.m.Stats().PrefixBreaks; seed%2 == 0 && breaks != 0 { // nothing held: a leaf can always leave
			t.Errorf("seed %d: %d breaks without a lease", seed, breaks)
		}
		if evicted < 100 {
			t.Errorf("seed %d: only %d evictions", seed, evicted)
		}
		for _, r := range reads {
			r.Finish(f.now(), l1.CauseUnused)
		}
	}
}

// A break happens only when all leaves are held, and is counted.
func TestPrefixBreakIsCounted(t *testing.T) {
	f := newFixture(t, l1.Options{Bytes: 4 * unit})
	keys := chunks(1, 0, 4)
	f.store(1, keys...)
	tail := f.read(1, keys[3])
	if n := f.store(1, chunk(2, 0)); n != 1 {
		t.Fatal("no memory although three objects are free")
	}
	if s := f.m.Stats(); s.PrefixBreaks != 1 {
		t.Fatalf("%d breaks, want 1", s.PrefixBreaks)
	}
	tail.Finish(f.now(), l1.CauseUnused)
}

// REQ-S39: the ranks of a chunk are all there or all gone.
func TestRanksLeaveTogether(t *testing.T) {
	const world = 4
	f := newFixture(t, l1.Options{Bytes: 10 * world * unit, NoBytes: true})
	rnd := rand.New(rand.NewPCG(39, 1))
	for prompt := range 200 {
		n := 1 + rnd.IntN(8)
		var keys []kv.Key
		for i := range n {
			for r := range world {
				keys = append(keys, rankOf(prompt, i, r, world))
			}
		}
		f.store(1, keys...)
		for p := max(0, prompt-12); p <= prompt; p++ {
			for i := range 8 {
				var family []kv.Key
				for r := range world {
					family = append(family, rankOf(p, i, r, world))
				}
				if got := f.resident(family...); got != 0 && got != world {
					t.Fatalf("prompt %d: %d of %d ranks of chunk %d of prompt %d are left", prompt, got, world, i, p)
				}
			}
		}
		f.check()
	}
	// Unless one is leased.
	var family []kv.Key
	for r := range world {
		family = append(family, rankOf(1000, 0, r, world))
	}
	f.store(1, family...)
	held := f.read(1, family[2])
	for i := range 20 {
		f.store(1, chunks(2000+i, 0, 4)...)
	}
	if n := f.resident(family...); n != 1 || f.resident(family[2]) != 1 {
		t.Fatalf("%d ranks are left beside the leased one", n-1)
	}
	held.Finish(f.now(), l1.CauseRead)
}
