package tier

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1/policy"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// manyTenants is a tier with an object of each of n tenants, which are all below their
// quota.
func manyTenants(tb testing.TB, n int) *Tier {
	tb.Helper()
	t := New(Options{
		Name: "model", Runtime: runtime.NewVirtual(runtime.VirtualOptions{}), Logger: slog.New(slog.DiscardHandler),
		Settings: l2.Settings{Eviction: &l2.Eviction{Policy: l2.PolicyIsolatedLRU, Watermark: .8, Ratio: .2, DefaultQuota: 1 << 30}},
	})
	for i := range n {
		t.mu.index.add(kv.Key{Model: "m", Salt: fmt.Sprint("tenant-", i), Hash: kv.Hash32([32]byte{byte(i), byte(i >> 8), byte(i >> 16)})}, 4096, time.Unix(1, 0))
	}
	return t
}

// What is done after each call of an adapter, and the choice of a victim, beside ten
// tenants and beside very many.
func BenchmarkTenants(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		b.Run(fmt.Sprintf("round/%d", n), func(b *testing.B) {
			t := manyTenants(b, n)
			t.mu.index.complete = true
			now := time.Unix(2, 0)
			b.ReportAllocs()
			for b.Loop() {
				t.roundLocked(now)
			}
		})
		b.Run(fmt.Sprintf("victim/%d", n), func(b *testing.B) {
			x := &manyTenants(b, n).mu.index
			b.ReportAllocs()
			for b.Loop() {
				for id := range x.policy.Victims(policy.Need{Bytes: 1}) {
					x.policy.Touch(id, time.Unix(2, 0))
					break
				}
			}
		})
		b.Run(fmt.Sprintf("store/%d", n), func(b *testing.B) {
			x := &manyTenants(b, n).mu.index
			k := kv.Key{Model: "m", Salt: "tenant-1", Hash: kv.Hash32([32]byte{31: 1})}
			b.ReportAllocs()
			for b.Loop() {
				x.remove(x.add(k, 4096, time.Unix(2, 0)))
			}
		})
	}
}
