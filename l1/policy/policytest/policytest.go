package policytest

import (
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1/policy"
)

const (
	scripts = 60   // random scripts per test
	steps   = 1500 // calls per script
)

// Run checks the contract of policy.Policy, and of policy.Isolating where it is
// one, on policies made by open, which returns an empty one each time. A policy that yields nothing for a single free
// entry is taken to evict nothing, and is held to the rest.
func Run(t *testing.T, open func() policy.Policy) {
	t.Helper()
	t.Run("Scripts", func(t *testing.T) {
		for seed := range uint64(scripts) {
			d := newDriver(t, seed, open(), open())
			d.complete = evicts(open())
			d.run()
		}
	})
	cases := opener(open)
	t.Run("Unknown", cases.unknown)
	t.Run("Order", cases.order)
	t.Run("NoAllocation", cases.noAllocation)
	if !evicts(open()) {
		return
	}
	t.Run("Neighbour", cases.neighbour)
	t.Run("Blocked", cases.blocked)
	t.Run("PassedOver", cases.passedOver)
	if _, ok := open().(policy.Isolating); ok {
		t.Run("Tenants", cases.tenants)
		t.Run("TenantsComeAndGo", cases.tenantsComeAndGo)
	}
}

// Compare checks the contract, and that two policies yield the same victims in
// the same order whatever happens to them.
func Compare(t *testing.T, openGot, openWant func() policy.Policy) {
	t.Helper()
	for seed := range uint64(scripts) {
		d := newDriver(t, seed, openGot(), openWant())
		d.complete = evicts(openGot())
		d.run()
	}
}

// Collect returns the first limit victims for need, passing over all of them; all
// victims if limit is negative.
func Collect(p policy.Policy, need policy.Need, limit int) []policy.ID {
	var out []policy.ID
	if limit == 0 {
		return nil
	}
	for id := range p.Victims(need) {
		if out = append(out, id); len(out) == limit {
			break
		}
	}
	return out
}

func evicts(p policy.Policy) bool {
	p.Insert(1, 1, 1, time.Time{})
	return len(Collect(p, policy.Need{}, 1)) == 1
}

// entry is what the driver knows of an id.
type entry struct {
	tracked, pinned, blocked bool
	salt                     uint32
	yielded                  bool // in the running iteration
}

// driver makes the same random calls on two policies and keeps a ledger of what
// they have been told.
type driver struct {
	t        *testing.T
	seed     uint64
	r        *rand.Rand
	got      policy.Policy
	want     policy.Policy
	complete bool // every entry that may go is yielded in the end
	at       time.Time
	ledger   []entry         // by id; 0 is not used
	isolated map[uint32]bool // tenants of an isolating policy
}

func newDriver(t *testing.T, seed uint64, got, want policy.Policy) *driver {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 4711))
	return &driver{t: t, seed: seed, r: r, got: got, want: want, ledger: make([]entry, 2+r.IntN(50)), isolated: map[uint32]bool{}}
}

func (d *driver) run() {
	d.t.Helper()
	for range steps {
		switch n := d.r.IntN(100); {
		case n < 4:
			d.iterate()
		case n < 6:
			d.tenant()
		default:
			d.call(d.id())
		}
	}
}

func (d *driver) id() policy.ID { return policy.ID(1 + d.r.IntN(len(d.ledger)-1)) }

// call makes one call on an id, which may well not be tracked or have the state
// already.
func (d *driver) call(id policy.ID) {
	e := &d.ledger[id]
	d.at = d.at.Add(time.Duration(d.r.IntN(3)))
	switch d.r.IntN(12) {
	case 0, 1, 2:
		salt := uint32(d.r.IntN(3))
		d.both(func(p policy.Policy) { p.Insert(id, int64(id), salt, d.at) })
		*e = entry{tracked: true, salt: salt}
	case 3:
		d.remove(id)
	case 4:
		d.both(func(p policy.Policy) { p.Touch(id, d.at) })
	case 5, 6:
		d.both(func(p policy.Policy) { p.Pin(id) })
		e.pinned = e.tracked
	case 7, 8:
		read := d.r.IntN(2) == 0
		d.both(func(p policy.Policy) { p.Unpin(id, read, d.at) })
		e.pinned = false
	case 9, 10:
		d.both(func(p policy.Policy) { p.Block(id) })
		e.blocked = e.tracked
	default:
		d.both(func(p policy.Policy) { p.Unblock(id) })
		e.blocked = false
	}
}

// tenant isolates a tenant, with what it has, or ends that.
func (d *driver) tenant() {
	d.t.Helper()
	salt, isolate := uint32(d.r.IntN(3)), d.r.IntN(3) > 0
	for _, p := range []policy.Policy{d.got, d.want} {
		i, ok := p.(policy.Isolating)
		switch {
		case !ok:
			return
		case !isolate:
			i.Share(salt)
		case !i.Isolate(salt):
			d.t.Fatalf("script %d: tenant %d cannot be isolated", d.seed, salt)
		}
		for id := range d.ledger { // most are of another tenant, or not tracked: that does nothing
			i.Assign(policy.ID(id))
		}
	}
	d.isolated[salt] = isolate
}

func (d *driver) remove(id policy.ID) {
	d.both(func(p policy.Policy) { p.Remove(id) })
	d.ledger[id] = entry{}
}

func (d *driver) both(call func(policy.Policy)) {
	call(d.got)
	call(d.want)
}

// iterate takes victims from both policies in step. Between two it removes the
// victim or passes it over, and does anything else to any entry.
func (d *driver) iterate() {
	d.t.Helper()
	for i := range d.ledger {
		d.ledger[i].yielded = false
	}
	need := policy.Need{Bytes: 1 + d.r.Int64N(100)}
	if d.r.IntN(4) == 0 {
		need.BySalt, need.Salt = true, uint32(d.r.IntN(3))
	}
	next, stop := iter.Pull(d.got.Victims(need))
	defer stop()
	nextWant, stopWant := iter.Pull(d.want.Victims(need))
	defer stopWant()
	stopAfter, busy, evict := d.r.IntN(60), d.r.IntN(4), d.r.IntN(101)
	for range stopAfter {
		id, ok := next()
		if want, wantOK := nextWant(); id != want || ok != wantOK {
			d.t.Fatalf("script %d: victim %d (%v), want %d (%v)", d.seed, id, ok, want, wantOK)
		}
		if !ok {
			d.exhausted(need)
			return
		}
		d.admit(need, id)
		if d.r.IntN(100) < evict {
			d.remove(id)
		}
		for range d.r.IntN(1 + busy) {
			if d.r.IntN(2) == 0 {
				d.call(id)
			} else {
				d.call(d.id())
			}
		}
	}
}

// admit checks that an entry may be a victim now.
func (d *driver) admit(need policy.Need, id policy.ID) {
	d.t.Helper()
	if id == 0 || int(id) >= len(d.ledger) {
		d.t.Fatalf("script %d: victim %d was never inserted", d.seed, id)
	}
	e := &d.ledger[id]
	switch {
	case !e.tracked:
		d.t.Fatalf("script %d: victim %d is not tracked", d.seed, id)
	case e.pinned:
		d.t.Fatalf("script %d: victim %d is pinned", d.seed, id)
	case e.yielded:
		d.t.Fatalf("script %d: victim %d a second time", d.seed, id)
	case need.BySalt && e.salt != need.Salt:
		d.t.Fatalf("script %d: victim %d of salt %d, want only those of %d", d.seed, id, e.salt, need.Salt)
	case e.blocked:
		for other, o := range d.ledger {
			if o.tracked && !o.pinned && !o.blocked && !o.yielded && (!need.BySalt || o.salt == need.Salt) {
				d.t.Fatalf("script %d: victim %d is blocked, and %d is not", d.seed, id, other)
			}
		}
	}
	e.yielded = true
}

// exhausted checks that nothing was kept back.
func (d *driver) exhausted(need policy.Need) {
	d.t.Helper()
	if !d.complete || need.BySalt && !d.isolated[need.Salt] {
		return
	}
	for id, e := range d.ledger {
		if e.tracked && !e.pinned && !e.yielded && (!need.BySalt || e.salt == need.Salt) {
			d.t.Fatalf("script %d: no victim left, but %d may go", d.seed, id)
		}
	}
}

func wantVictims(t *testing.T, p policy.Policy, what string, want ...policy.ID) {
	t.Helper()
	if got := Collect(p, policy.Need{}, -1); !slices.Equal(got, want) {
		t.Errorf("%s: victims are %v, want %v", what, got, want)
	}
}
