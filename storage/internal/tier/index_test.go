package tier

import (
	"context"
	"errors"
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

// What leaves with an entry is its chunk, without what is pinned or about to go; and a
// chunk stays as long as one rank of the next one is there.
func TestFamilies(t *testing.T) {
	x := newIndex(nil)
	now := time.Unix(1, 0)
	k := func(chunk, rank byte) kv.Key {
		return kv.Key{Model: "m", Hash: kv.Hash32([32]byte{chunk}), Rank: uint32(rank)}
	}
	var ids [2][3]uint32
	for c := range ids {
		for r := range ids[c] {
			ids[c][r] = x.add(k(byte(c), byte(r)), 10, now)
		}
	}
	tr := &Tier{}
	tr.mu.index = x
	tr.linkLocked(k(0, 0), k(1, 2))
	x = tr.mu.index
	victims := func() (list []uint32) {
		for id := range x.policy.Victims(policy.Need{Bytes: 1}) {
			list = append(list, id)
		}
		return list
	}
	if got := victims(); len(got) == 0 || x.at(got[0]).key.Hash != k(1, 0).Hash {
		t.Errorf("the first victim is %v", got)
	}
	x.pin(ids[1][1])
	got, bytes := x.leaving(ids[1][0])
	if len(got) != 2 || got[0] != ids[1][0] || got[1] != ids[1][2] || bytes != 20 {
		t.Errorf("%v leave, %d bytes", got, bytes)
	}
	for _, id := range got {
		x.erase(id)
	}
	if n := x.kin[x.at(ids[0][0]).family].children; n != 1 {
		t.Errorf("%d successors with one rank left", n)
	}
	x.unpin(ids[1][1])
	x.erase(ids[1][1])
	if n := x.kin[x.at(ids[0][0]).family].children; n != 0 {
		t.Errorf("%d successors, all about to go", n)
	}
	x.keep(ids[1][2], now)
	if n := x.kin[x.at(ids[0][0]).family].children; n != 1 {
		t.Errorf("%d successors, one of which stays", n)
	}
	for _, err := range x.checkFamilies() {
		t.Error(err)
	}
	for c := range ids {
		for _, id := range ids[c] {
			x.remove(id)
		}
	}
	if len(x.families) != 0 || len(x.kin) != 1+len(x.freeFamilies) {
		t.Errorf("%d families are left, in %d places", len(x.families), len(x.kin))
	}
}

// The memory for conversions is bounded, whatever is given up and comes back.
func TestScratchIsBounded(t *testing.T) {
	const workers = 2
	s := newScratch(workers)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	calls := make([]*transfer, 2*workers)
	take := func(i int) bool {
		calls[i] = &transfer{}
		done := make(chan error, 1)
		select {
		case b := <-s.free: // otherwise it would wait
			s.free <- b
			done <- s.take(t.Context(), calls[i])
		default:
			done <- s.take(ended, calls[i])
		}
		return <-done == nil
	}
	for i := range 2 * workers {
		if !take(i) {
			t.Fatalf("no piece for call %d", i)
		}
		if b, err := s.sized(calls[i], 100); err != nil || len(b) != 100 {
			t.Fatalf("a piece of %d bytes: %v", len(b), err)
		}
		if _, err := s.sized(calls[i], 1<<62); !errors.Is(err, errBound) { // and the piece is still there
			t.Errorf("a piece that cannot be: %v", err)
		}
		s.giveUp(calls[i])
		s.giveUp(calls[i])
	}
	if take(0) || len(s.mu.held) != 2*workers {
		t.Errorf("%d pieces are held", len(s.mu.held))
	}
	first := make([]*transfer, 0, 2*workers)
	for x := range s.mu.held {
		first = append(first, x)
	}
	for _, x := range first {
		s.give(x)
	}
	if len(s.free) != workers || len(s.mu.held)+len(s.mu.lost) != 0 {
		t.Errorf("%d pieces are free, %d held, %d lost; there should be %d", len(s.free), len(s.mu.held), len(s.mu.lost), workers)
	}
}
