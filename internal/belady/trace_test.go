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
		capacity   int
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
		if diff := cmp.Diff(belady.Count{Hits: tc.bound, Requested: requested}, trace.Bound(tc.capacity)); diff != "" {
			t.Errorf("%s: bound (-want +got):\n%s", tc.name, diff)
		}
		if diff := cmp.Diff(belady.Count{Hits: tc.lru, Requested: requested}, trace.LRU(tc.capacity)); diff != "" {
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
