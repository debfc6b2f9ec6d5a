package policytest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1/policy"
)

// opener makes empty policies. The cases are its methods.
type opener func() policy.Policy

// Calls with ids that are not tracked do nothing.
func (o opener) unknown(t *testing.T) {
	p := o()
	wantVictims(t, p, "new policy")
	p.Insert(1, 1, 1, time.Time{})
	p.Remove(1)
	for _, id := range []policy.ID{1, 2, 100_000} {
		p.Touch(id, time.Time{})
		p.Pin(id)
		p.Unpin(id, true, time.Time{})
		p.Unpin(id, false, time.Time{})
		p.Block(id)
		p.Unblock(id)
		p.Remove(id)
	}
	wantVictims(t, p, "after calls with unknown ids")
}

// fill makes a policy with entries in all states and returns the ids.
func fill(p policy.Policy, n int, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	at := time.Time{}
	for i := range n {
		p.Insert(policy.ID(i+1), 1, uint32(r.IntN(3)), at)
	}
	for range 3 * n {
		id := policy.ID(1 + r.IntN(n))
		switch r.IntN(5) {
		case 0:
			p.Touch(id, at)
		case 1:
			p.Pin(id)
		case 2:
			p.Unpin(id, r.IntN(2) == 0, at)
		case 3:
			p.Block(id)
		case 4:
			p.Unblock(id)
		}
	}
}

// Looking at victims changes nothing, however many of them.
func (o opener) order(t *testing.T) {
	p := o()
	const n = 200
	fill(p, n, 7)
	want := Collect(p, policy.Need{}, -1)
	for k := range n {
		if got := Collect(p, policy.Need{}, k); !slices.Equal(got, want[:min(k, len(want))]) {
			t.Fatalf("the first %d victims are %v, want %v", k, got, want[:min(k, len(want))])
		}
		if got := Collect(p, policy.Need{}, -1); !slices.Equal(got, want) {
			t.Fatalf("after looking at %d victims they are\n%v, want\n%v", k, got, want)
		}
	}
}

// Once the ids have been seen, no call allocates.
func (o opener) noAllocation(t *testing.T) {
	p := o()
	const n = 3000
	at := time.Time{}
	seen := 0
	count := func(policy.ID) bool {
		seen++
		return seen < n/2
	}
	round := func() {
		fill3(p, n, at)
		seen = 0
		p.Victims(policy.Need{Bytes: 1})(count)
		p.Victims(policy.Need{Bytes: 1, BySalt: true, Salt: 1})(count)
		for i := range n {
			p.Remove(policy.ID(i + 1))
		}
	}
	if a := testing.AllocsPerRun(3, round); a != 0 {
		t.Errorf("%v allocations for %d entries", a, n)
	}
}

func fill3(p policy.Policy, n int, at time.Time) {
	for i := range n {
		id := policy.ID(i + 1)
		p.Insert(id, 1, 1, at)
		switch i % 4 {
		case 0:
			p.Block(id)
		case 1:
			p.Pin(id)
			p.Unpin(id, i%8 == 1, at)
		case 2:
			p.Touch(id, at)
		}
	}
}

// A chain leaves from its end: the entry that a victim kept blocked may be the
// next victim of the same iteration.
func (o opener) neighbour(t *testing.T) {
	p := o()
	const n = 10
	for id := policy.ID(1); id <= n; id++ {
		p.Insert(id, 1, 1, time.Time{})
		if id > 1 {
			p.Block(id - 1)
		}
	}
	var got []policy.ID
	for id := range p.Victims(policy.Need{Bytes: n}) {
		got = append(got, id)
		p.Remove(id)
		p.Unblock(id - 1)
	}
	want := []policy.ID{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}
	if !slices.Equal(got, want) {
		t.Errorf("victims are %v, want %v", got, want)
	}
	wantVictims(t, p, "empty policy")
}

// With all entries blocked or pinned, the blocked ones go.
func (o opener) blocked(t *testing.T) {
	p := o()
	for id := policy.ID(1); id <= 4; id++ {
		p.Insert(id, 1, 1, time.Time{})
		p.Block(id)
	}
	p.Pin(2)
	got := Collect(p, policy.Need{}, -1)
	slices.Sort(got)
	if want := []policy.ID{1, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("victims are %v, want %v in some order", got, want)
	}
	p.Unblock(4)
	if got := Collect(p, policy.Need{}, 1); !slices.Equal(got, []policy.ID{4}) {
		t.Errorf("first victim is %v, want 4, the only one not blocked", got)
	}
}

// A victim that is not removed does not come back in the same iteration, not even
// if it is used, released or unblocked meanwhile, and is there in the next one.
func (o opener) passedOver(t *testing.T) {
	p := o()
	at := time.Time{}
	changes := map[string]func(id policy.ID){
		"nothing":  func(policy.ID) {},
		"touch":    func(id policy.ID) { p.Touch(id, at) },
		"read":     func(id policy.ID) { p.Pin(id); p.Unpin(id, true, at) },
		"released": func(id policy.ID) { p.Pin(id); p.Unpin(id, false, at) },
		"blocked":  func(id policy.ID) { p.Block(id) },
		"freed":    func(id policy.ID) { p.Block(id); p.Unblock(id) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			for id := policy.ID(1); id <= 5; id++ {
				p.Insert(id, 1, 1, at)
			}
			met := map[policy.ID]int{}
			for id := range p.Victims(policy.Need{Bytes: 5}) {
				met[id]++
				change(id)
			}
			for id := policy.ID(1); id <= 5; id++ {
				if met[id] != 1 {
					t.Errorf("entry %d was a victim %d times, want once", id, met[id])
				}
			}
			if got := Collect(p, policy.Need{}, -1); len(got) != 5 {
				t.Errorf("next victims are %v, want all five", got)
			}
		})
	}
}
