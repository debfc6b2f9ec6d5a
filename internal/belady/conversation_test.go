package belady_test

import (
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/lmcache-go/lmcache/internal/belady"
	"github.com/lmcache-go/lmcache/internal/mooncake"
)

// conversation is the public conversation trace, full chunks of 512 tokens.
func conversation(t testing.TB) *belady.Trace {
	t.Helper()
	f, err := os.Open("../mooncake/testdata/conversation.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var trace belady.Trace
	for r, err := range mooncake.Read(f, 512) {
		if err != nil {
			t.Fatal(err)
		}
		trace.Add(r.HashIDs[:r.InputLength/512])
	}
	return &trace
}

// TestConversation has the known hit ratios of the public trace.
func TestConversation(t *testing.T) {
	trace := conversation(t)
	check := func(what string, c belady.Count, want float64) {
		t.Helper()
		if c.Requested != 276_491 {
			t.Errorf("%s: %d requested chunks", what, c.Requested)
		}
		if math.Abs(c.Ratio()-want) > 0.003 {
			t.Errorf("%s: %.4f, want %.3f", what, c.Ratio(), want)
		}
		t.Logf("%s: %.5f (%d)", what, c.Ratio(), c.Hits)
	}
	for capacity, want := range map[int64]float64{1_000: .047, 2_000: .058, 5_000: .124, 10_000: .224, 20_000: .306, 50_000: .372, 1e6: .382} {
		check(fmt.Sprintf("LRU of %d", capacity), trace.LRU(capacity), want)
	}
	for capacity, want := range map[int64]float64{1_000: .199, 5_000: .356, 20_000: .382, 1e6: .382} {
		check(fmt.Sprintf("bound of %d", capacity), trace.Bound(capacity), want)
	}
	check("everything", trace.Infinite(), .382)
	if trace.Bound(1e6) != trace.Infinite() || trace.LRU(1e6) != trace.Infinite() {
		t.Error("room for everything, but not everything was served")
	}
}

func BenchmarkConversation(b *testing.B) {
	trace := conversation(b)
	b.Run("bound", func(b *testing.B) {
		for b.Loop() {
			trace.Bound(5_000)
		}
	})
	b.Run("lru", func(b *testing.B) {
		for b.Loop() {
			trace.LRU(5_000)
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			conversation(b)
		}
	})
}
