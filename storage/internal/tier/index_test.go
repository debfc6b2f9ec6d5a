package tier

import (
	"fmt"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1/policy"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// REQ-S77: salts that come and go leave nothing in a tier.
func TestREQ_S77_SaltsLeaveNothing(t *testing.T) {
	for _, e := range []*l2.Eviction{nil, {Policy: l2.PolicyLRU}, {Policy: l2.PolicyIsolatedLRU}, {Policy: l2.PolicyNoop}} {
		x := newIndex(e)
		now := time.Unix(1, 0)
		const resident, each = 8, 2
		var ids []uint32
		for i := range 100_000 {
			for j := range each {
				k := kv.Key{Model: "m", Salt: fmt.Sprint(i)}
				k.Hash = kv.Hash32([32]byte{byte(j)})
				ids = append(ids, x.add(k, 10, now))
			}
			if e != nil && e.Policy == l2.PolicyIsolatedLRU && i < 2*policy.MaxIsolated && !x.tenants[x.at(ids[len(ids)-1]).salt].isolated {
				t.Fatalf("salt %d is not isolated", i)
			}
			for len(ids) > resident*each {
				x.remove(ids[0])
				ids = ids[1:]
			}
		}
		if len(x.salts) != resident || len(x.tenants) > resident+3 || len(x.entries) > (resident+2)*each+1 {
			t.Errorf("%+v: %d salts, room for %d and for %d entries", e, len(x.salts), len(x.tenants), len(x.entries))
		}
		for _, id := range ids {
			x.remove(id)
		}
		if len(x.salts) != 0 || x.bytes != 0 || x.objects != 0 {
			t.Errorf("%+v: %d salts, %d objects of %d bytes are left", e, len(x.salts), x.objects, x.bytes)
		}
	}
}

// A tenant with a quota is known without objects, and counted anew when they come
// back.
func TestTenantsWithQuotas(t *testing.T) {
	x := newIndex(&l2.Eviction{Policy: l2.PolicyIsolatedLRU})
	id := x.tenant("a")
	x.tenants[id].quota, x.tenants[id].limited = 5, true
	e := x.add(kv.Key{Salt: "a"}, 10, time.Unix(1, 0))
	x.remove(e)
	if got := x.tenant("a"); got != id || x.tenants[id].quota != 5 {
		t.Errorf("the quota is forgotten: %+v", x.tenants)
	}
	x.tenants[id].limited = false
	x.vacate(id)
	if len(x.salts) != 0 || len(x.vacant) != 1 {
		t.Errorf("it is kept without a quota: %+v", x.tenants)
	}
	if again := x.tenant("b"); again != id || x.tenants[id].limited || !x.tenants[id].isolated {
		t.Errorf("the next one has %+v", x.tenants[again])
	}
}
