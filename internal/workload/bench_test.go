package workload_test

import (
	"os"
	"testing"

	"github.com/lmcache-go/lmcache/internal/mooncake"
	"github.com/lmcache-go/lmcache/internal/workload"
)

// conversation is the public conversation trace, or its beginning.
func conversation(t testing.TB, limit int) []mooncake.Request {
	t.Helper()
	f, err := os.Open("../mooncake/testdata/conversation.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list, err := workload.Load(f, 512, limit)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func BenchmarkConversation(b *testing.B) {
	list := conversation(b, 0)
	for b.Loop() {
		r, err := workload.Run(b.Context(), workload.Options{Requests: list, BytesPerToken: 64, CapacityChunks: 5000})
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("%+v optimal %v", r, *r.OptimalHitRatio)
	}
}

func BenchmarkBuiltin(b *testing.B) {
	list, err := workload.Load(mooncake.Builtin(), mooncake.BuiltinBlockTokens, 0)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, err := workload.Run(b.Context(), workload.Options{Requests: list})
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("%+v optimal %v", r, *r.OptimalHitRatio)
	}
}
