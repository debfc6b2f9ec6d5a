package curve

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/belady"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// random is a workload of prompts over a small tree, in which some chunks are written
// before anybody asks, some lookups are sparse, and sizes differ.
func random(rng *rand.Rand, sizes []int64) *Workload {
	w := &Workload{align: 1, scale: 1, OneSize: true}
	l := &loader{Workload: w, sample: kv.NewSampler(1), numbers: map[kv.Key]int32{}}
	for range 60 {
		var keys []kv.Key
		at := 0
		for range 1 + rng.IntN(6) {
			at = at*3 + 1 + rng.IntN(3)
			h, _ := kv.HashOf([]byte{byte(at), byte(at >> 8)})
			keys = append(keys, kv.Key{Hash: h, Model: "m"})
		}
		layout, _ := kv.RawLayout(sizes[rng.IntN(len(sizes))])
		switch rng.IntN(8) {
		case 0:
			l.insert(keys, layout)
		case 1:
			l.lookup(belady.Sparse, keys, layout)
		default:
			l.lookup(belady.Prefix, keys, layout)
		}
	}
	w.finish()
	return w
}

// TestStackEqualsLRU: one pass knows what a cache of each size would have served that
// was run for it.
func TestStackEqualsLRU(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 11))
	for _, sizes := range [][]int64{{1}, {1, 2, 5}} {
		for range 40 {
			w := random(rng, sizes)
			s := w.Stack()
			hits := map[int64]bool{}
			for bytes := range w.Size + 2 {
				want, got := w.trace.LRU(bytes), s.At(bytes)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("sizes %v, cache of %d (-run +stack):\n%s", sizes, bytes, diff)
				}
				hits[got.Hits] = true
			}
			if got, want := s.At(Infinite), w.trace.Infinite(); got != want {
				t.Fatalf("everything: %+v, want %+v", got, want)
			}
			if len(hits) < 5 {
				t.Fatalf("only %d different values", len(hits))
			}
		}
	}
}

// Where only some objects fit, a run finds those and misses the others.
func TestSomeObjectsFit(t *testing.T) {
	const small, large = 64, 6400
	w := &Workload{align: small, scale: 1, OneSize: true}
	l := &loader{Workload: w, sample: kv.NewSampler(1), numbers: map[kv.Key]int32{}}
	for i := range 20 {
		for model, size := range map[string]int64{"small": small, "large": large} {
			h, _ := kv.HashOf([]byte{byte(i % 2)})
			layout, err := kv.RawLayout(size)
			if err != nil {
				t.Fatal(err)
			}
			keys := []kv.Key{{Hash: h, Model: model}}
			if i == 0 {
				l.insert(keys, layout)
			}
			l.lookup(belady.Prefix, keys, layout)
		}
	}
	w.finish()
	for bytes, want := range map[int64]int64{small - 1: 0, 2 * small: 19, large - 1: 19, 4 * large: 38} {
		c, err := w.simulate(t.Context(), bytes, Policy{Name: "LRU", Mode: l1.ModeExact}, func(int64) {})
		if err != nil || c.Hits != want || c.Requested != w.Keys || c.RequestedSize != w.Bytes {
			t.Errorf("%d bytes: %+v, %v, want %d hits of %d", bytes, c, err, want, w.Keys)
		}
	}
}
