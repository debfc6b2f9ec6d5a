package tier

import (
	"slices"
	"time"
)

// shortage is what a store waits for that was refused because the store is full, although
// the tier's own bound left room: others fill the store, or it has a limit that nobody
// knows. It is tried once more, when deletions have removed what it takes, after others
// that wait for the same. Until then no other store of the tier begins: it would take
// that room.
type shortage struct {
	from int64 // bytes that deletions had removed when it was refused
	till int64 // bytes that they have removed when it is tried again
	over bool  // it waits no more
}

// on reports whether there is a shortage, and its end has not come.
func (s *shortage) on() bool { return s != nil && !s.over }

// refusedLocked lets an object that a store had no room for wait for what is evicted for
// it. It reports whether that is so: only if there is something to evict.
func (t *Tier) refusedLocked(j *Job, i int, now time.Time) bool {
	o, s := &j.Objects[i], &shortage{}
	if !t.askRoomLocked(s, o.size, now) {
		return false
	}
	o.short = s
	o.tries--
	n := 0
	for n < len(j.todo) && j.Objects[j.todo[n]].short.on() {
		n++
	}
	j.todo = slices.Insert(j.todo, n, i)
	t.mu.stores.pushFront(j)
	return true
}

// askRoomLocked evicts so many bytes, beside what others wait for. It reports whether
// there is something to wait for.
func (t *Tier) askRoomLocked(s *shortage, size int64, now time.Time) bool {
	if t.mu.index.erasing == 0 {
		t.mu.promised = t.mu.freed // whoever waited before has had it, or does not get it
	}
	promised := max(t.mu.promised, t.mu.freed) + size
	if !t.makeRoomLocked(promised-t.mu.freed, now) {
		return false
	}
	t.mu.promised = promised
	s.from, s.till = t.mu.freed, promised
	return true
}

// grantedLocked reports whether an object that was refused is tried again now. If not,
// it goes on waiting, or its shortage is over: nothing has been removed.
func (t *Tier) grantedLocked(s *shortage, size int64, now time.Time) bool {
	x := &t.mu.index
	switch {
	case t.mu.freed >= s.till:
	case x.erasing > 0:
		return false
	case t.mu.freed == s.from:
		s.over = true
		return false
	case x.reserved > 0: // what is stored can be evicted
		return false
	case t.askRoomLocked(s, size, now): // some of it has been removed
		return false
	}
	s.over = true
	return true
}
