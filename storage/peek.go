package storage

import (
	"context"
	"sync/atomic"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/internal/tier"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Place is where an object is. Of two places the higher one is the better.
type Place uint8

// Places.
const (
	Nowhere Place = iota // or where it cannot be used
	InL2                 // in an outer tier
	InL1
)

// String is the place's name in JSON.
func (p Place) String() string {
	switch p {
	case InL1:
		return "l1"
	case InL2:
		return "l2"
	default:
		return "none"
	}
}

// Sight is what Peek says of one key.
type Sight struct {
	Place Place
	Miss  MissReason // Nowhere: why a prefetch would miss it
}

// maxPeeks is how many calls of Peek ask the tiers at a time. Others wait.
const maxPeeks = 8

// Peek says where the objects of keys are that have this layout, and of those that no
// prefetch would find, why. It asks L1 and then, about what that lacks, the outer tiers
// that a prefetch would ask, and waits for their answers, each for its lookup timeout
// (l2.Timeouts) at most.
//
// It only looks: it leases, pins, loads and reserves nothing, changes no recency, counts
// nothing and publishes nothing, and the breakers of tiers do not hear of its calls. What
// it says may be over when it returns. It says of a tier's object that it is there if its
// length is right; only a load can tell whether its bytes are.
//
// An error means bad arguments, a closed manager, or that ctx has ended.
func (m *Manager) Peek(ctx context.Context, keys []kv.Key, layout kv.Layout) ([]Sight, error) {
	if err := m.check("Peek", keys, layout); err != nil {
		return nil, err
	}
	details, err := m.l1.Peek(keys, layout)
	if err != nil {
		return nil, closedError(err)
	}
	out := make([]Sight, len(keys))
	var missing []int
	for i, d := range details {
		if d == l1.DetailNone {
			out[i].Place = InL1
			continue
		}
		out[i].Miss = missReason(d)
		if d != l1.DetailLayoutMismatch { // it is in the way of a load
			missing = append(missing, i)
		}
	}
	if len(m.tiers) == 0 || len(missing) == 0 {
		return out, nil
	}
	select {
	case m.peeks <- struct{}{}:
		defer func() { <-m.peeks }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	answers, err := m.peekTiers(ctx, keys, missing, layout)
	if err != nil {
		return nil, err
	}
	for i := range answers {
		answers[i].addTo(out)
	}
	for _, i := range missing { // as fetchControl.decideLocked
		if s := &out[i]; s.Place == Nowhere && (s.Miss == MissAbsent || s.Miss == MissEvicted) {
			s.Miss = MissL2
		}
	}
	return out, nil
}

// peekAnswer is what a tier says.
type peekAnswer struct {
	at   []int // positions that it was asked about
	seen []tier.Sight
	err  error // it says nothing
}

// peekTiers asks the tiers about the missing ones of keys, and waits.
func (m *Manager) peekTiers(ctx context.Context, keys []kv.Key, missing []int, layout kv.Layout) ([]peekAnswer, error) {
	list := make([]kv.Key, len(missing)) // the tiers' own: one may go on after ctx has ended
	for n, i := range missing {
		list[n] = keys[i]
	}
	m.fetches.mu.Lock()
	want := m.fetches.wantLocked(list)
	m.fetches.unlock()
	answers := make([]peekAnswer, len(m.tiers))
	var left atomic.Int64
	left.Store(int64(len(m.tiers)))
	end := make(chan struct{})
	answered := func() {
		if left.Add(-1) == 0 {
			close(end)
		}
	}
	for i, t := range m.tiers {
		part, at := partFor(list, want, i, missing)
		if len(part) == 0 {
			answered()
			continue
		}
		a := &answers[i]
		a.at = at
		t.Peek(part, layout, func(seen []tier.Sight, err error) {
			a.seen, a.err = seen, err
			answered()
		})
	}
	if err := m.wait(ctx, end); err != nil {
		return nil, err
	}
	return answers, nil
}

// addTo puts what the tier says into sights by position. Of several tiers that cannot
// tell, the first one gives the reason.
func (a *peekAnswer) addTo(out []Sight) {
	for n, i := range a.at {
		var s tier.Sight
		if a.err != nil {
			s.Err = a.err
		} else {
			s = a.seen[n]
		}
		switch o := &out[i]; {
		case s.OK:
			*o = Sight{Place: InL2}
		case s.Err != nil && o.Place == Nowhere && (o.Miss == MissAbsent || o.Miss == MissEvicted):
			o.Miss = missOf(s.Err)
		}
	}
}
