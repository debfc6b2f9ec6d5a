package mooncake_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/belady"
	"github.com/lmcache-go/lmcache/internal/mooncake"
)

// TestBuiltin: the built-in trace is the beginning of the public one, and in 1 GiB
// of chunks of 512 KiB it gives both hits and evictions.
func TestBuiltin(t *testing.T) {
	got, err := collect(mooncake.Builtin(), mooncake.BuiltinBlockTokens)
	if err != nil {
		t.Fatal(err)
	}
	all, err := collect(bytes.NewReader(full(t)), 512)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all[:mooncake.BuiltinRequests], got); diff != "" {
		t.Errorf("not the first requests of the trace (-want +got):\n%s", diff)
	}
	var trace belady.Trace
	for _, r := range got {
		trace.Add(r.HashIDs[:r.InputLength/512])
	}
	const capacity = 2048
	lru, bound := trace.LRU(capacity), trace.Bound(capacity)
	t.Logf("%d chunks, %d different, %d hits with LRU, %d at best", lru.Requested, trace.Chunks(), lru.Hits, bound.Hits)
	if lru.Hits < 400 || bound.Hits <= lru.Hits || trace.Chunks() < 2*capacity {
		t.Error("too few hits or evictions")
	}
}

// TestNotice: what is distributed says where it comes from.
func TestNotice(t *testing.T) {
	for _, want := range []string{"github.com/kvcache-ai/Mooncake", "Apache License 2.0", "first 500 lines", "all 12,031"} {
		if !strings.Contains(mooncake.Notice(), want) {
			t.Errorf("the notice does not say %q", want)
		}
	}
}
