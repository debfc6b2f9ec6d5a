package l1_test

import (
	"math/rand/v2"
	"testing"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// free is what a reservation may have that needs memory: free bytes, and the
// evictable ones that are not safe from it.
func free(f *fixture, safe int64) int64 {
	s := f.m.Stats()
	return s.CapacityBytes - s.UsedBytes + s.EvictableBytes - safe
}

// Objects of one size, in prompts whose links are all known. The model knows what
// is pinned, and that a reservation protects its own keys and what is before them.
func TestREQ_S32_OutOfMemoryOnlyWhenNothingCanLeave(t *testing.T) {
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 32))
		f := newFixture(t, l1.Options{Bytes: 24 * unit, NoBytes: true})
		sizes := []kv.Layout{f.layout}
		mixed := seed%2 == 1
		if mixed {
			sizes = append(sizes, layoutOf(t, 3*unit), layoutOf(t, 5*unit))
		}
		size := map[kv.Key]int64{}
		pins := map[kv.Key]int{}
		type held struct {
			r    l1.ReadLease
			keys []kv.Key
		}
		var reads []held
		var writes []l1.WriteLease
		ooms, fits := 0, 0
		for range 600 {
			now := f.now()
			switch op := rnd.IntN(10); {
			case op < 6:
				prompt, lo := rnd.IntN(6), rnd.IntN(8)
				keys := chunks(prompt, lo, lo+1+rnd.IntN(20))
				l := sizes[rnd.IntN(len(sizes))]
				o := l1.WriteOptions{}
				if lo > 0 {
					o.After = chunk(prompt, lo-1)
				}
				w, err := f.m.ReserveWrite(now, keys, l, l1.WriteNew, o)
				if err != nil {
					t.Fatal(err)
				}
				oom, granted := 0, 0
				for i, k := range keys {
					switch w.Code(i) {
					case l1.OutOfMemory:
						oom++
					case l1.Success:
						granted++
						size[k] = l.Size()
						if oom > 0 {
							t.Fatalf("seed %d: a key got memory after one that did not", seed)
						}
					}
				}
				if oom > 0 {
					ooms++
					var safe int64
					for _, k := range chunks(prompt, 0, lo+len(keys)) {
						if pins[k] == 0 && f.look(k, sizes) {
							safe += size[k]
						}
					}
					// What lies between objects of other sizes that cannot leave is no room.
					split := mixed && f.m.Stats().EvictableBytes == safe
					if left := free(f, safe); left >= l.Size() && !split {
						t.Fatalf("seed %d: out of memory for %d bytes with %d that are free or could leave: %+v", seed, l.Size(), left, f.m.Stats())
					}
				} else if granted > 0 {
					fits++
				}
				if rnd.IntN(4) > 0 {
					w.Finish(now, l1.OriginNew)
				} else {
					writes = append(writes, w)
				}
			case op < 7:
				prompt, lo := rnd.IntN(6), rnd.IntN(8)
				keys := chunks(prompt, lo, lo+1+rnd.IntN(3))
				r, err := f.m.ReserveRead(now, keys, sizes[rnd.IntN(len(sizes))], l1.ReadOptions{})
				if err != nil {
					t.Fatal(err)
				}
				for i, k := range keys {
					if r.Code(i) == l1.Success {
						pins[k]++
					}
				}
				reads = append(reads, held{r, keys})
			case op < 9 && len(reads) > 0:
				i := rnd.IntN(len(reads))
				for p, k := range reads[i].keys {
					if reads[i].r.Code(p) == l1.Success {
						pins[k]--
					}
				}
				reads[i].r.Finish(now, l1.CauseRead)
				reads = append(reads[:i], reads[i+1:]...)
			case len(writes) > 0:
				i := rnd.IntN(len(writes))
				writes[i].Abort(now, l1.AbortOwner)
				writes = append(writes[:i], writes[i+1:]...)
			}
			f.check()
		}
		if ooms == 0 || fits == 0 {
			t.Errorf("seed %d: %d reservations out of memory, %d served: the test proves nothing", seed, ooms, fits)
		}
		for _, r := range reads {
			r.r.Finish(f.now(), l1.CauseUnused)
		}
		for _, w := range writes {
			w.Abort(f.now(), l1.AbortOwner)
		}
	}
}

// look reports whether k is resident, with whatever layout.
func (f *fixture) look(k kv.Key, sizes []kv.Layout) bool {
	f.t.Helper()
	for _, l := range sizes {
		r, err := f.m.ReserveRead(f.now(), []kv.Key{k}, l, l1.ReadOptions{Look: true})
		if err != nil {
			f.t.Fatal(err)
		}
		if r.Code(0) == l1.Success {
			return true
		}
	}
	return false
}

// REQ-S31, REQ-S33: a batch of twice the capacity gets the longest prefix that
// fits, at once and whatever it must push out; what is not needed stays.
func TestLongestPrefixThatFits(t *testing.T) {
	f := newFixture(t, l1.Options{Bytes: 200 * unit, NoBytes: true})
	if n := f.store(1, chunks(1, 0, 200)...); n != 200 {
		t.Fatalf("stored %d of 200", n)
	}
	pinned := f.read(1, chunks(1, 0, 50)...)
	w := f.reserve(l1.WriteNew, chunks(2, 0, 400)...)
	for i := range 400 {
		want := l1.Success
		if i >= 150 {
			want = l1.OutOfMemory
		}
		if w.Code(i) != want {
			t.Fatalf("position %d: got %v, want %v", i, w.Code(i), want)
		}
	}
	if n := f.resident(chunks(1, 0, 50)...); n != 50 {
		t.Fatalf("%d of 50 leased objects are left", n)
	}
	w.Abort(f.now(), l1.AbortOwner)
	pinned.Finish(f.now(), l1.CauseRead)
	if s := f.m.Stats(); s.EvictedObjects != 150 || s.UsedBytes != 50*unit {
		t.Fatalf("%+v", s)
	}
	// The eviction stops where the demand ends.
	f.store(1, chunks(3, 0, 150)...)
	f.store(1, chunks(4, 0, 3)...)
	if s := f.m.Stats(); s.EvictedObjects != 153 || s.UsedBytes != s.CapacityBytes {
		t.Fatalf("%d objects were evicted, want 153", s.EvictedObjects)
	}
}

// REQ-S41: sizes alternate under pressure; the largest one always finds room.
func TestMixedSizesDoNotWedge(t *testing.T) {
	f := newFixture(t, l1.Options{Bytes: 256 * unit, NoBytes: true})
	sizes := []int64{unit, 2 * unit, 3 * unit, 7 * unit, 16 * unit, 100 * unit}
	layouts := make([]kv.Layout, len(sizes))
	for i, n := range sizes {
		layouts[i] = layoutOf(t, n)
	}
	rnd := rand.New(rand.NewPCG(41, 1))
	for i := range 20000 {
		l := layouts[rnd.IntN(len(layouts))]
		if i%100 == 0 {
			l = layouts[len(layouts)-1]
		}
		w, err := f.m.ReserveWrite(f.now(), chunks(i, 0, 1), l, l1.WriteNew, l1.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if w.Code(0) != l1.Success {
			t.Fatalf("step %d: %v for %d bytes: %+v", i, w.Code(0), l.Size(), f.m.Stats())
		}
		w.Finish(f.now(), l1.OriginNew)
	}
}
