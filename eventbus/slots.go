package eventbus

import (
	"sync/atomic"
	"time"
)

// handler is one registered function and whose it is.
type handler[E Event] struct {
	handle func(E, time.Time)
	sub    *Subscription
}

// slots is the place of one event type in one lane: the typed half of the queue.
// Values go into fill under the lane's mutex; the consumer swaps fill with the
// emptied hold, so that nothing is allocated per event.
type slots[E Event] struct {
	lane     *lane
	index    uint32 // in lane.mu.columns
	class    Class  // where it is admitted: always 0 in isolated lanes
	traits   traits
	aside    *atomic.Uint64               // further counter of losses; nil in the shared lane
	handlers atomic.Pointer[[]handler[E]] // never nil, in order of registration
	counts   counts                       // guarded by lane.mu
	fill     []E                          // guarded by lane.mu

	// Consumer only. They survive a panic, so that delivery resumes behind it.
	hold               []E
	next               int          // items of hold handled, up to date between calls of deliver
	skew               int          // in deliver: position of a record minus that of its item
	turn               int          // handlers already called for the item being handled
	handling           []handler[E] // of that item
	handled, abandoned int          // items of the batch last released
}

// counts are the totals of one type in one lane: published = delivered + dropped
// + what waits or is in the batch being handled.
type counts struct{ published, delivered, dropped uint64 }

// column is slots without its type, as the consumer of a lane sees it.
type column interface {
	swapLocked()          // takes over what was filled
	deliver()             // handles records from lane.pos on, as long as they are of this column
	release()             // forgets the batch
	settleLocked() uint64 // accounts for the batch just released, of which it returns what was abandoned
	rowLocked() TypeStats
	culprit() (s *Subscription, event string) // whose handler was called last, and for what
}

func newSlots[E Event](t *topic[E], l *lane, class Class, aside *atomic.Uint64) *slots[E] {
	s := &slots[E]{lane: l, class: class, aside: aside, traits: t.traits}
	s.handlers.Store(new([]handler[E]))
	l.mu.Lock()
	defer l.mu.Unlock()
	s.index = uint32(len(l.mu.columns)) //nolint:gosec // one per event type
	l.mu.columns = append(l.mu.columns, s)
	return s
}

// put appends *e, or counts it as lost. It is the whole hot path.
func (s *slots[E]) put(e *E, at time.Time, keys uint32) {
	l := s.lane
	l.mu.Lock()
	s.counts.published++
	if !l.admitLocked(s.class, keys) && !l.awaitLocked(s.class, keys) {
		s.counts.dropped++
		warn := l.dropLocked()
		l.mu.Unlock()
		if s.aside != nil {
			s.aside.Add(1)
		}
		if warn {
			l.warn.arm()
		}
		return
	}
	if len(s.fill) == 0 {
		l.mu.touched = append(l.mu.touched, s)
	}
	s.fill = append(s.fill, *e)
	l.mu.records = append(l.mu.records, record{at: at, keys: keys, column: s.index})
	wake := l.mu.state != busy && l.wakeLocked(s.class)
	l.mu.Unlock()
	if wake {
		l.signal()
	}
}

func (s *slots[E]) swapLocked() {
	s.fill, s.hold = s.hold[:0], s.fill
	s.next, s.turn = 0, 0
}

// deliver handles a stretch of records at a time, so that an event costs little
// more than the calls of its handlers. What a panic must not lose is written down
// before each call: lane.pos and turn.
func (s *slots[E]) deliver() {
	l := s.lane
	if s.turn == 0 { // else: goes on behind a panic
		if l.abort.Load() {
			return
		}
		s.skew = l.pos - s.next
	}
	for n := s.stretch(); n > 0; n = s.stretch() {
		if s.turn == 0 {
			s.handling = *s.handlers.Load()
		}
		s.deliverStretch(l.batch[l.pos:l.pos+n], s.hold[l.pos-s.skew:])
		if l.abort.Load() {
			break
		}
	}
	s.next = l.pos - s.skew
}

// deliverStretch calls the handlers for records, whose values are items.
func (s *slots[E]) deliverStretch(records []record, items []E) {
	l, hs, turn := s.lane, s.handling, s.turn
	pos := l.pos + 1
	items = items[:len(records)]
	for i := range records {
		for turn < len(hs) {
			h := hs[turn].handle
			turn++
			s.turn = turn // the next one to have its turn
			h(items[i], records[i].at)
		}
		turn = 0
		s.turn, l.pos = 0, pos+i
		if l.abort.Load() {
			return
		}
	}
}

// stretch counts records as begun, from lane.pos on, as far as they are of this
// type and publishers need not hear of it, and returns how many can be handled.
// They hear of the first one at once if it is their turn to hear of one.
func (s *slots[E]) stretch() int {
	l := s.lane
	if l.counted > l.pos {
		return l.counted - l.pos // a panic interrupted this stretch
	}
	if l.pos == len(l.batch) || l.batch[l.pos].column != s.index {
		return 0
	}
	mine := &l.begun[s.class].mine
	mine.events++
	mine.keys += uint64(l.batch[l.pos].keys)
	if l.countdown == 0 {
		l.storeBegun()
		l.countdown = l.stride
	}
	l.countdown--
	rest := l.batch[l.pos+1:]
	rest = rest[:min(l.countdown, len(rest))]
	n := 0
	for n < len(rest) && rest[n].column == s.index {
		mine.keys += uint64(rest[n].keys)
		n++
	}
	mine.events += uint64(n) //nolint:gosec // never negative
	l.countdown -= n
	l.counted = l.pos + 1 + n
	return 1 + n
}

// release forgets the batch, so that it keeps no key list alive. After an abort
// the items from next on were never handled.
func (s *slots[E]) release() {
	s.handled, s.abandoned = s.next, len(s.hold)-s.next
	clear(s.hold)
	s.hold, s.handling = s.hold[:0], nil
}

func (s *slots[E]) settleLocked() uint64 {
	abandoned := uint64(s.abandoned)        //nolint:gosec // never negative
	s.counts.delivered += uint64(s.handled) //nolint:gosec // never negative
	s.counts.dropped += abandoned
	if s.aside != nil {
		s.aside.Add(abandoned)
	}
	return abandoned
}

func (s *slots[E]) rowLocked() TypeStats {
	return TypeStats{
		Name: s.traits.name, Class: s.traits.class,
		Published: s.counts.published, Delivered: s.counts.delivered, Dropped: s.counts.dropped,
	}
}

func (s *slots[E]) culprit() (*Subscription, string) {
	if s.turn == 0 {
		return nil, ""
	}
	return s.handling[s.turn-1].sub, s.traits.name
}
