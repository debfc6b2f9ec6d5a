package policytest

import (
	"slices"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1/policy"
)

// The victims of an isolated tenant are its own, its leaves first; those of all
// are what they would be without tenants.
func (o opener) tenants(t *testing.T) {
	p, _ := o().(policy.Isolating)
	at := time.Time{}
	for id := policy.ID(1); id <= 9; id++ {
		p.Insert(id, 1, id%3, at)
	}
	all := Collect(p, policy.Need{}, -1)
	own := policy.Need{BySalt: true, Salt: 1}
	if got := Collect(p, own, -1); len(got) != 0 {
		t.Errorf("victims of a tenant that is not isolated are %v", got)
	}
	for range 2 {
		if !p.Isolate(1) {
			t.Fatal("the tenant cannot be isolated")
		}
	}
	p.Insert(10, 1, 1, at)
	if got := Collect(p, own, -1); !slices.Contains(got, 10) {
		t.Errorf("victims of the tenant are %v, without what came last", got)
	}
	for id := range policy.ID(12) {
		p.Assign(id)
	}
	p.Remove(10)
	if got := Collect(p, policy.Need{}, -1); !slices.Equal(got, all) {
		t.Errorf("victims are %v, want %v as before", got, all)
	}
	var want []policy.ID
	for _, id := range all {
		if id%3 == 1 {
			want = append(want, id)
		}
	}
	if got := Collect(p, own, -1); !slices.Equal(got, want) {
		t.Errorf("victims of the tenant are %v, want %v", got, want)
	}
	p.Block(want[0])
	p.Pin(want[1])
	if got := Collect(p, own, -1); !slices.Equal(got, []policy.ID{want[2], want[0]}) {
		t.Errorf("victims of the tenant are %v, want %v and then %v, which is blocked", got, want[2], want[0])
	}
	p.Share(1)
	p.Share(1)
	p.Share(7)
	if got := Collect(p, own, -1); len(got) != 0 {
		t.Errorf("victims of a tenant that is not isolated any more are %v", got)
	}
}

// Tenants may come and go for ever.
func (o opener) tenantsComeAndGo(t *testing.T) {
	p, _ := o().(policy.Isolating)
	for i := range uint32(100_000) {
		salt := 1 + i%7
		if !p.Isolate(salt) {
			t.Fatalf("after %d tenants another one cannot be isolated", i)
		}
		p.Insert(1, 1, salt, time.Time{})
		p.Share(salt)
		p.Assign(1)
	}
	wantVictims(t, p, "one entry", 1)
}
