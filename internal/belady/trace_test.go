package belady_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/belady"
)

func trace(requests ...[]uint64) *belady.Trace {
	var t belady.Trace
	for _, ids := range requests {
		t.Add(ids)
	}
	return &t
}

func TestTrace(t *testing.T) {
	for _, tc := range []struct {
		name       string
		requests   [][]uint64
		capacity   int64
		bound, lru int64
		chunks     int
	}{
		{name: "nothing", capacity: 3},
		{name: "empty requests", requests: [][]uint64{{}, nil, {}}, capacity: 3},
		{name: "no room", requests: [][]uint64{{1}, {1}}, chunks: 1},
		{name: "less than no room", requests: [][]uint64{{1}, {1}}, capacity: -2, chunks: 1},
		{name: "once more", requests: [][]uint64{{1, 2, 3}, {1, 2, 4}}, capacity: 3, bound: 2, lru: 2, chunks: 4},
		{name: "other parent", requests: [][]uint64{{1, 2}, {3, 2}}, capacity: 9, chunks: 4},
		// The chunks of the long prompts are not worth their place.
		{name: "scan", requests: [][]uint64{{1}, {2, 3}, {1}, {4, 5}, {1}}, capacity: 1, bound: 2, chunks: 5},
		// Of a prompt that does not fit, its beginning stays.
		{name: "deepest first", requests: [][]uint64{{1, 2, 3}, {1, 2, 3}}, capacity: 2, bound: 2, lru: 2, chunks: 3},
		// A newcomer that comes back later than all residents is its own victim.
		{name: "bypass", requests: [][]uint64{{1}, {2}, {1}, {1}, {2}}, capacity: 1, bound: 2, lru: 1, chunks: 2},
		// The farthest goes, though it was used last.
		{name: "farthest", requests: [][]uint64{{1}, {2}, {3}, {1}, {3}, {2}}, capacity: 2, bound: 2, lru: 1, chunks: 3},
	} {
		trace := trace(tc.requests...)
		requested := int64(0)
		for _, ids := range tc.requests {
			requested += int64(len(ids))
		}
		if diff := cmp.Diff(units(tc.bound, requested), trace.Bound(tc.capacity)); diff != "" {
			t.Errorf("%s: bound (-want +got):\n%s", tc.name, diff)
		}
		if diff := cmp.Diff(units(tc.lru, requested), trace.LRU(tc.capacity)); diff != "" {
			t.Errorf("%s: LRU (-want +got):\n%s", tc.name, diff)
		}
		if trace.Requests() != len(tc.requests) || trace.Chunks() != tc.chunks {
			t.Errorf("%s: %d requests, %d chunks", tc.name, trace.Requests(), trace.Chunks())
		}
	}
}

func TestRatio(t *testing.T) {
	if got := (belady.Count{}).Ratio(); got != 0 {
		t.Errorf("nothing requested: %v", got)
	}
	if got := (belady.Count{Hits: 1, Requested: 4}).Ratio(); got != 0.25 {
		t.Errorf("one of four: %v", got)
	}
}

// units is a count of chunks of size 1.
func units(hits, requested int64) belady.Count {
	return belady.Count{Hits: hits, Requested: requested, HitSize: hits, RequestedSize: requested}
}

// A recording: what was inserted is found by the first that asks, sparse requests
// find what is behind a hole, and sizes count against the capacity.
func TestRecordedRequests(t *testing.T) {
	var trace belady.Trace
	trace.AddNumbered(belady.Insert, []int32{0, 1, 2})
	trace.AddNumbered(belady.Prefix, []int32{0, 1, 2})
	trace.AddNumbered(belady.Sparse, []int32{3, 1})
	for chunk, size := range []int64{2, 3, 4, 5} {
		trace.SetSize(int32(chunk), size)
	}
	want := belady.Count{Hits: 4, Requested: 5, HitSize: 12, RequestedSize: 17}
	for name, got := range map[string]belady.Count{"all": trace.Infinite(), "LRU": trace.LRU(14), "bound": trace.Bound(9)} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// Room for 4: both hold 0 when it is read; the bound knows that it never comes back
	// and takes 1 in its place.
	if got := trace.LRU(4); got.Hits != 1 || got.HitSize != 2 {
		t.Errorf("LRU of 4: %+v", got)
	}
	if got := trace.Bound(4); got.Hits != 2 || got.HitSize != 5 {
		t.Errorf("bound of 4: %+v", got)
	}
	if got := trace.Infinite().SizeRatio(); got != 12.0/17 {
		t.Errorf("ratio of sizes %v", got)
	}
}
