package tier

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// The list of tenants that are over is what looking at all of them finds, whatever comes,
// goes and changes its quota.
func TestTenantsThatAreOver(t *testing.T) {
	for _, quota := range []int64{0, 25} {
		rng := rand.New(rand.NewPCG(1, uint64(quota)))
		x := newIndex(&l2.Eviction{Policy: l2.PolicyIsolatedLRU, Watermark: .8, Ratio: .5, DefaultQuota: quota})
		var ids []uint32
		seen := 0
		for i := range 5000 {
			salt := fmt.Sprint(rng.IntN(40))
			switch op := rng.IntN(10); {
			case op < 5 || len(ids) == 0:
				k := kv.Key{Model: "m", Salt: salt, Hash: kv.Hash32([32]byte{byte(i), byte(i >> 8)})}
				ids = append(ids, x.add(k, rng.Int64N(10), time.Unix(1, 0)))
			case op < 8:
				n := rng.IntN(len(ids))
				x.remove(ids[n])
				ids = slices.Delete(ids, n, n+1)
			case op < 9:
				x.resize(ids[rng.IntN(len(ids))], rng.Int64N(20))
			default:
				id := x.tenant(salt)
				x.tenants[id].quota, x.tenants[id].limited = rng.Int64N(40), rng.IntN(3) > 0
				x.settle(id)
				x.vacate(id)
			}
			var want []uint32
			for id := range x.tenants {
				if x.over(&x.tenants[id]) {
					want = append(want, uint32(id))
				}
			}
			if got := x.overdue(); !slices.Equal(got, want) {
				t.Fatalf("step %d: %v are over, want %v", i, got, want)
			}
			seen += len(want)
		}
		if seen == 0 {
			t.Error("none was ever over")
		}
	}
}
