package l1

import (
	"math"

	"github.com/lmcache-go/lmcache/l1/policy"
)

// sweep is one search for victims. There is one per manager; it keeps the function
// that the policy's sequence calls, so that a search allocates nothing.
type sweep struct {
	m    *Manager
	take func(policy.ID) bool
	goal sweepGoal
	safe *protection // families that stay; nil: none

	w    *reservation // sweepPlace: who gets the memory
	need []int32      // positions without memory
	phys int64        // of each
	left int64        // sweepBytes, sweepRound: bytes still to be evicted
	room int          // the same: objects that may still be evicted

	taken int  // objects evicted
	first bool // sweepRound: the next victim is the round's first, which may be of any size
	full  bool // sweepRound: there are victims, but the next one would be too much
}

// sweepGoal says when a sweep ends.
type sweepGoal uint8

const (
	sweepPlace sweepGoal = iota // when the reservation has its memory
	sweepBytes                  // when at least left bytes are evicted
	sweepRound                  // before more than left bytes are
)

// policyNoop is the policy that evicts nothing.
const policyNoop = "noop"

// sweepFor prepares the sweep for a reservation, or for nobody.
func (m *Manager) sweepFor(goal sweepGoal, w *reservation) *sweep {
	s := &m.mu.sweep
	*s = sweep{m: m, take: s.take, goal: goal, w: w, room: math.MaxInt}
	if w != nil {
		s.safe = w.safe
	}
	return s
}

// sweepLocked asks the policy for victims, and once more if it has failed over it:
// then that is LRU.
func (m *Manager) sweepLocked(need policy.Need) {
	m.restoreLocked()
	m.mu.policy.search(need, m.mu.sweep.take)
	if m.mu.policy.failure != "" {
		m.restoreLocked()
		if m.mu.sweep.wants() {
			m.mu.policy.search(need, m.mu.sweep.take)
		}
	}
}

// wants reports whether the sweep needs further victims.
func (s *sweep) wants() bool {
	if s.goal == sweepPlace {
		return len(s.need) > 0
	}
	return s.left > 0 && s.room > 0 && !s.full
}

// victim evicts one entry and the other ranks of its chunk, and hands out the
// memory; false: that is enough.
func (s *sweep) victim(id policy.ID) (more bool) {
	m, g := s.m, &s.m.mu.policy
	g.yields++
	switch {
	case g.ended:
		panic("it goes on naming victims after it was told to stop")
	case !m.mu.entries.Has(id) || !m.mu.entries.At(id).is(flagTracked):
		g.fail("entry %d, named as a victim, is not resident", id)
	case g.yields > m.mu.stats.Objects+int64(s.taken):
		g.fail("it names more victims than there are entries")
	}
	if g.failure != "" {
		g.ended = true
		return false
	}
	g.ours = true
	more = s.evict(m.mu.entries.At(id))
	g.ours = false
	g.ended = !more || g.failure != ""
	return !g.ended
}

// evict is victim for an entry that is resident.
func (s *sweep) evict(e *entry) (more bool) {
	m := s.m
	f := m.mu.families.At(e.family)
	if !evictable(e) || s.safe != nil && s.safe.has(f.fp) {
		return true
	}
	if s.goal == sweepRound {
		if size := m.evictableOfFamilyLocked(e.family).owned; size > s.left && !s.first {
			s.full = true
			return false
		}
	}
	if f.children > 0 {
		m.mu.stats.PrefixBreaks++
	}
	turns := m.mu.turns
	s.first = false
	for member := f.head; member != 0; {
		o := m.mu.entries.At(member)
		next := o.sibling
		if evictable(o) {
			s.left -= m.holdingLocked(o).owned
			s.room--
			s.taken++
			if o.is(flagPending) {
				m.mu.stats.EvictedPending++
			}
			m.removeLocked(member, o)
		}
		member = next
	}
	if s.safe != nil {
		s.safe.turns += m.mu.turns - turns // nothing of that was protected
	}
	if s.goal == sweepPlace {
		s.place()
	}
	return s.wants()
}

// place hands out what memory there is.
func (s *sweep) place() {
	for len(s.need) > 0 && s.m.placeLocked(s.w, int(s.need[0]), s.phys) {
		s.need = s.need[1:]
	}
}
