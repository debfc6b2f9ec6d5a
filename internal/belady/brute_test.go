package belady_test

import (
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/lmcache-go/lmcache/internal/belady"
)

// tree is a random trace over a tree of at most 10 chunks.
type tree struct {
	parents  []int   // of node n, -1 for a first chunk
	requests [][]int // paths from the root
	inserts  []bool  // of each request: it reads nothing
}

func randomTree(rng *rand.Rand) tree {
	var tr tree
	for n := range 2 + rng.IntN(9) {
		tr.parents = append(tr.parents, rng.IntN(n+1)-1)
	}
	for range 1 + rng.IntN(12) {
		var path []int
		for n := rng.IntN(len(tr.parents)+1) - 1; n >= 0; n = tr.parents[n] {
			path = append([]int{n}, path...)
		}
		tr.requests = append(tr.requests, path)
		tr.inserts = append(tr.inserts, false)
	}
	return tr
}

// numbered is the trace with the nodes numbered in order of appearance.
func (tr tree) numbered() *belady.Trace {
	var t belady.Trace
	numbers := map[int]int32{}
	for i, path := range tr.requests {
		var list []int32
		for _, n := range path {
			if _, ok := numbers[n]; !ok {
				numbers[n] = int32(len(numbers))
			}
			list = append(list, numbers[n])
		}
		kind := belady.Prefix
		if tr.inserts[i] {
			kind = belady.Insert
		}
		t.AddNumbered(kind, list)
	}
	return &t
}

// trace names a chunk by its place among its siblings, so that equal ids under
// different chunks mean different chunks.
func (tr tree) trace() *belady.Trace {
	var t belady.Trace
	for _, path := range tr.requests {
		ids := make([]uint64, len(path))
		for i, n := range path {
			for sibling := range n {
				if tr.parents[sibling] == tr.parents[n] {
					ids[i]++
				}
			}
		}
		t.Add(ids)
	}
	return &t
}

// optimum tries every cache content that is possible after every request: any
// part, up to the capacity, of what was there and what was requested.
func (tr tree) optimum(capacity int) int64 {
	best := map[uint]int64{0: 0} // by set of resident chunks
	for i, path := range tr.requests {
		after := map[uint]int64{}
		for set, hits := range best {
			for _, n := range path {
				if set>>n&1 == 0 || tr.inserts[i] {
					break
				}
				hits++
			}
			all := set
			for _, n := range path {
				all |= 1 << n
			}
			for part := all; ; part = (part - 1) & all {
				if bits.OnesCount(part) <= capacity {
					if old, ok := after[part]; !ok || hits > old {
						after[part] = hits
					}
				}
				if part == 0 {
					break
				}
			}
		}
		best = after
	}
	most := int64(0)
	for _, hits := range best {
		most = max(most, hits)
	}
	return most
}

// TestREQ_C12_OptimalEqualsBruteForce: the bound is what the best of all possible
// decisions achieves, and LRU is never above it.
func TestREQ_C12_OptimalEqualsBruteForce(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 34))
	below := 0
	for range 500 {
		tr := randomTree(rng)
		trace := tr.trace()
		capacity := int64(rng.IntN(6))
		bound, lru := trace.Bound(capacity), trace.LRU(capacity)
		if want := tr.optimum(int(capacity)); bound.Hits != want {
			t.Fatalf("capacity %d, parents %v, requests %v: bound %d, optimum %d",
				capacity, tr.parents, tr.requests, bound.Hits, want)
		}
		if lru.Hits > bound.Hits {
			t.Fatalf("capacity %d, parents %v, requests %v: LRU %d above the bound %d",
				capacity, tr.parents, tr.requests, lru.Hits, bound.Hits)
		}
		if lru.Hits < bound.Hits {
			below++
		}
		if bound.Requested != lru.Requested {
			t.Fatalf("%d and %d requested chunks", bound.Requested, lru.Requested)
		}
	}
	if below == 0 {
		t.Error("LRU was optimal in all traces, so they tell nothing")
	}
}

// TestMonotone: more room is never worse, for the bound and for LRU, and enough
// room is as good as any.
func TestMonotone(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		trace := randomTree(rng).trace()
		var bound, lru int64
		for capacity := range int64(trace.Chunks()) + 1 {
			b, l := trace.Bound(capacity).Hits, trace.LRU(capacity).Hits
			if b < bound || l < lru {
				t.Fatalf("capacity %d: bound %d after %d, LRU %d after %d", capacity, b, bound, l, lru)
			}
			bound, lru = b, l
		}
		if all := trace.Infinite().Hits; bound != all || lru != all {
			t.Fatalf("bound %d, LRU %d, with room for everything %d", bound, lru, all)
		}
	}
}

// TestInsertsEqualBruteForce: the same where some requests only insert.
func TestInsertsEqualBruteForce(t *testing.T) {
	rng := rand.New(rand.NewPCG(56, 78))
	for range 500 {
		tr := randomTree(rng)
		for i := range tr.inserts {
			tr.inserts[i] = rng.IntN(3) == 0
		}
		trace := tr.numbered()
		capacity := int64(rng.IntN(6))
		bound, lru := trace.Bound(capacity), trace.LRU(capacity)
		if want := tr.optimum(int(capacity)); bound.Hits != want || lru.Hits > want {
			t.Fatalf("capacity %d, parents %v, requests %v, inserts %v: bound %d, LRU %d, optimum %d",
				capacity, tr.parents, tr.requests, tr.inserts, bound.Hits, lru.Hits, want)
		}
		if all := trace.Infinite(); trace.Bound(10) != all || trace.LRU(10) != all {
			t.Fatalf("room for everything: %+v, %+v, %+v", trace.Bound(10), trace.LRU(10), all)
		}
	}
}
