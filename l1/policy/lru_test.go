package policy_test

import (
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1/policy"
	"github.com/lmcache-go/lmcache/l1/policy/policytest"
)

func newLRU() policy.Policy { return policy.NewLRU() }

func TestLRUContract(t *testing.T) { policytest.Run(t, newLRU) }
func newIsolated() policy.Policy   { return policy.NewIsolatedLRU() }

func TestIsolatedLRUContract(t *testing.T) { policytest.Run(t, newIsolated) }

func TestIsolatedLRUAgainstModel(t *testing.T) {
	policytest.Compare(t, newIsolated, func() policy.Policy { return &modelIsolated{} })
}

// Without isolated tenants it is LRU.
func TestIsolatedLRUIsLRU(t *testing.T) {
	policytest.Compare(t, func() policy.Policy { return justLRU{newIsolated()} }, newLRU)
}

// justLRU hides that a policy is Isolating.
type justLRU struct{ policy.Policy }

func TestNoopContract(t *testing.T) { policytest.Run(t, func() policy.Policy { return policy.Noop{} }) }

// The model's own contract, so that a mistake in it is not taken for the truth.
func TestModelContract(t *testing.T) {
	policytest.Compare(t, func() policy.Policy { return &modelLRU{} }, func() policy.Policy { return &modelLRU{} })
}

func TestLRUAgainstModel(t *testing.T) {
	policytest.Compare(t, newLRU, func() policy.Policy { return &modelLRU{} })
}

func TestNew(t *testing.T) {
	for _, name := range policy.Names() {
		if p, err := policy.New(name); p == nil || err != nil {
			t.Errorf("New(%q) is %v, %v", name, p, err)
		}
	}
	tests := []struct {
		name string
		is   error
		want string
	}{
		{"lru", policy.ErrUnknown, `unknown eviction policy: "lru" (known, in this case of letters: LRU, IsolatedLRU, RecencyFrequency, noop)`},
		{"", policy.ErrUnknown, `unknown eviction policy: "" (known`},
		{"S3FIFO", policy.ErrUnavailable, `not available in this version: "S3FIFO" (available: LRU, IsolatedLRU, RecencyFrequency, noop)`},
	}
	for _, tt := range tests {
		if _, err := policy.New(tt.name); !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%q) gives %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestNoopEvictsNothing(t *testing.T) {
	p, err := policy.New("noop")
	if err != nil {
		t.Fatal(err)
	}
	p.Insert(1, 1, 1, time.Time{})
	if got := policytest.Collect(p, policy.Need{Bytes: 1}, -1); len(got) != 0 {
		t.Errorf("victims are %v", got)
	}
}

// Entries that stood aside return to the place of their number, between those
// that stayed.
func TestLRUKeepsPlaces(t *testing.T) {
	at := time.Time{}
	p := policy.NewLRU()
	for id := policy.ID(1); id <= 6; id++ {
		p.Insert(id, 1, 1, at)
	}
	want := func(what string, ids ...policy.ID) {
		t.Helper()
		if got := policytest.Collect(p, policy.Need{}, -1); !slices.Equal(got, ids) {
			t.Errorf("%s: victims are %v, want %v", what, got, ids)
		}
	}
	want("inserted", 1, 2, 3, 4, 5, 6)
	p.Pin(3)
	want("3 pinned", 1, 2, 4, 5, 6)
	p.Unpin(3, false, at)
	want("3 not read", 1, 2, 3, 4, 5, 6)
	p.Pin(3)
	p.Unpin(3, true, at)
	want("3 read", 1, 2, 4, 5, 6, 3)
	p.Block(1)
	want("1 blocked", 2, 4, 5, 6, 3, 1)
	p.Pin(1)
	p.Unpin(1, false, at)
	want("1 not read while blocked", 2, 4, 5, 6, 3, 1)
	p.Unblock(1)
	want("1 unblocked", 1, 2, 4, 5, 6, 3)
	p.Block(2)
	p.Touch(2, at)
	p.Unblock(2)
	want("2 touched while blocked", 1, 4, 5, 6, 3, 2)
	p.Pin(4)
	p.Touch(4, at)
	p.Unpin(4, false, at)
	want("4 touched while pinned", 1, 5, 6, 3, 2, 4)
	p.Insert(1, 1, 1, at)
	want("1 inserted again", 5, 6, 3, 2, 4, 1)
}

// Two chains, stored one after the other, tails first within each: the older
// chain goes first, from its end, and then the other one.
func TestLRUTakesChainsFromTheirEnd(t *testing.T) {
	p := policy.NewLRU()
	const n = 4
	pred := map[policy.ID]policy.ID{}
	for c := range policy.ID(2) {
		for i := policy.ID(n); i >= 1; i-- { // the first key of the prompt ends newest
			p.Insert(c*10+i, 1, 1, time.Time{})
		}
		for i := policy.ID(1); i < n; i++ {
			p.Block(c*10 + i)
			pred[c*10+i+1] = c*10 + i
		}
	}
	p.Pin(12) // a reader in the middle of the second chain
	var got []policy.ID
	for id := range p.Victims(policy.Need{Bytes: 8}) {
		got = append(got, id)
		p.Remove(id)
		if pred[id] != 0 {
			p.Unblock(pred[id])
		}
	}
	if want := []policy.ID{4, 3, 2, 1, 14, 13, 11}; !slices.Equal(got, want) {
		t.Errorf("victims are %v, want %v", got, want)
	}
}

// A tenant's victims are not something a plain LRU can name.
func TestLRUDoesNotIsolate(t *testing.T) {
	p := policy.NewLRU()
	p.Insert(1, 1, 1, time.Time{})
	if got := policytest.Collect(p, policy.Need{Bytes: 1, BySalt: true, Salt: 1}, -1); len(got) != 0 {
		t.Errorf("victims of salt 1 are %v, want none", got)
	}
}

// An iteration whose loop body panicked leaves nothing behind.
func TestLRUSurvivesPanicInLoop(t *testing.T) {
	p := policy.NewLRU()
	for id := policy.ID(1); id <= 3; id++ {
		p.Insert(id, 1, 1, time.Time{})
	}
	func() {
		defer func() { _ = recover() }()
		for id := range p.Victims(policy.Need{Bytes: 3}) {
			if id == 2 {
				panic("in the loop")
			}
		}
	}()
	p.Touch(1, time.Time{})
	if got, want := policytest.Collect(p, policy.Need{}, -1), []policy.ID{2, 3, 1}; !slices.Equal(got, want) {
		t.Errorf("victims are %v, want %v", got, want)
	}
}

// modelLRU is the definition: of the entries that are neither pinned nor were
// yielded in this iteration, the one with the least number, those not blocked
// first.
type modelLRU struct {
	entries map[policy.ID]*modelEntry
	seq     int
}

// modelIsolated tells tenants apart that are isolated.
type modelIsolated struct {
	modelLRU
	isolated map[uint32]bool
}

func (m *modelIsolated) Isolate(salt uint32) bool {
	if m.isolated == nil {
		m.isolated = map[uint32]bool{}
	}
	m.isolated[salt] = true
	return true
}

func (*modelIsolated) Assign(policy.ID) {}

func (m *modelIsolated) Share(salt uint32) { delete(m.isolated, salt) }

func (m *modelIsolated) Victims(need policy.Need) iter.Seq[policy.ID] {
	if need.BySalt && !m.isolated[need.Salt] {
		return func(func(policy.ID) bool) {}
	}
	return m.victims(need)
}

type modelEntry struct {
	salt                     uint32
	seq                      int
	pinned, blocked, yielded bool
}

func (m *modelLRU) draw() int {
	m.seq++
	return m.seq
}

func (m *modelLRU) Insert(id policy.ID, _ int64, salt uint32, _ time.Time) {
	if m.entries == nil {
		m.entries = map[policy.ID]*modelEntry{}
	}
	m.entries[id] = &modelEntry{salt: salt, seq: m.draw()}
}

func (m *modelLRU) Touch(id policy.ID, _ time.Time) {
	if e := m.entries[id]; e != nil {
		e.seq = m.draw()
	}
}

func (m *modelLRU) Remove(id policy.ID) { delete(m.entries, id) }

func (m *modelLRU) Pin(id policy.ID) { m.set(id, func(e *modelEntry) { e.pinned = true }) }

func (m *modelLRU) Unpin(id policy.ID, read bool, _ time.Time) {
	m.set(id, func(e *modelEntry) {
		if e.pinned && read {
			e.seq = m.draw()
		}
		e.pinned = false
	})
}

func (m *modelLRU) Block(id policy.ID) { m.set(id, func(e *modelEntry) { e.blocked = true }) }

func (m *modelLRU) Unblock(id policy.ID) { m.set(id, func(e *modelEntry) { e.blocked = false }) }

func (m *modelLRU) set(id policy.ID, change func(*modelEntry)) {
	if e := m.entries[id]; e != nil {
		change(e)
	}
}

func (m *modelLRU) Victims(need policy.Need) iter.Seq[policy.ID] {
	if need.BySalt {
		return func(func(policy.ID) bool) {}
	}
	return m.victims(need)
}

func (m *modelLRU) victims(need policy.Need) iter.Seq[policy.ID] {
	return func(yield func(policy.ID) bool) {
		for _, e := range m.entries {
			e.yielded = false
		}
		for {
			var id policy.ID
			var best *modelEntry
			for i, e := range m.entries {
				if e.pinned || e.yielded || need.BySalt && e.salt != need.Salt {
					continue
				}
				if best == nil || best.blocked && !e.blocked || best.blocked == e.blocked && e.seq < best.seq {
					id, best = i, e
				}
			}
			if best == nil {
				return
			}
			best.yielded = true
			if !yield(id) {
				return
			}
		}
	}
}
