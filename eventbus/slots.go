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
	index    uint16 // in lane.mu.columns
	class    Class  // where it is admitted: always 0 in isolated lanes
	traits   traits
	aside    *atomic.Uint64               // further counter of losses; nil in the shared lane
	handlers atomic.Pointer[[]handler[E]] // never nil, in order of registration
	lost     atomic.Pointer[lost[E]]      // told of losses; nil: nobody is
	counts   counts                       // guarded by lane.mu
	fill     []E                          // guarded by lane.mu

	// Consumer only. They survive a panic, so that delivery resumes behind it.
	hold               []E
	next               int           // items of hold handled, up to date between calls of deliver
	skew               int           // in deliver: position of a record minus that of its item
	turn               int           // handlers already called for the item being handled
	handling           *[]handler[E] // of that item
	handled, abandoned int           // items of the batch last released
}

// counts are the totals of one type in one lane: published = delivered + dropped
// + what waits or is in the batch being handled.
type counts struct{ published, delivered, dropped uint64 }

// column is slots without its type, as the consumer of a lane sees it.
type column interface {
	swapLocked()                       // takes over what was filled
	deliver(run []record, pos int) int // handles a run of records of this column that begins at pos of the batch; returns how far it came
	deliverOne(pos int, at time.Time)  // handles one record, at pos
	deliverTimed(pos int, at time.Time)
	release()             // forgets the batch
	settleLocked() uint64 // accounts for the batch just released, of which it returns what was abandoned
	rowLocked() TypeStats
	interrupted() bool                        // a panic left a record half handled
	culprit() (s *Subscription, event string) // whose handler was called last, and for what
}

func newSlots[E Event](t *topic[E], l *lane, class Class, aside *atomic.Uint64) *slots[E] {
	s := &slots[E]{lane: l, class: class, aside: aside, traits: t.traits}
	s.handlers.Store(new([]handler[E]))
	l.mu.Lock()
	defer l.mu.Unlock()
	s.index = uint16(len(l.mu.columns))
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
		if f := s.lost.Load(); f != nil {
			f.call(*e, at)
		}
		return
	}
	if len(s.fill) == 0 {
		l.mu.touched = append(l.mu.touched, s)
	}
	s.fill = append(s.fill, *e)
	l.mu.records = append(l.mu.records, record{at: at, keys: keys, column: s.index, class: s.class})
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

// deliver keeps in locals what it can; what a panic must not lose is written down
// before each call: lane.pos and turn.
func (s *slots[E]) deliver(run []record, pos int) int {
	l, turn := s.lane, s.turn
	if turn == 0 { // else: goes on behind a panic
		s.skew = pos - s.next
		if hs := s.handlers.Load(); hs != s.handling {
			s.handling = hs
		}
		l.pos = pos
	}
	hs := *s.handling
	items := s.hold[pos-s.skew:][:len(run)]
	for i := range run {
		for turn < len(hs) {
			h := hs[turn].handle
			turn++
			s.turn = turn // the next one to have its turn
			h(items[i], run[i].at)
		}
		turn = 0
		pos++
		s.turn, l.pos = 0, pos
		if l.abort.Load() {
			break
		}
	}
	s.next = pos - s.skew
	return pos
}

// deliverOne is deliver of one record that has not been begun, for types that
// alternate. The caller has set lane.pos.
func (s *slots[E]) deliverOne(pos int, at time.Time) {
	hs := s.handlers.Load()
	if hs != s.handling {
		s.handling = hs
	}
	s.skew = pos - s.next
	item := &s.hold[s.next]
	list := *hs
	for i := range list {
		s.turn = i + 1
		list[i].handle(*item, at)
	}
	s.turn = 0
	s.next++
}

// deliverTimed is deliverOne that measures what each handler takes.
func (s *slots[E]) deliverTimed(pos int, at time.Time) {
	hs := s.handlers.Load()
	if hs != s.handling {
		s.handling = hs
	}
	s.skew = pos - s.next
	item := &s.hold[s.next]
	list, cost := *hs, &s.lane.cost
	from := cost.now()
	for i := range list {
		s.turn = i + 1
		list[i].handle(*item, at)
		now := cost.now()
		cost.timed(list[i].sub.cost, from, now)
		from = now
	}
	s.turn = 0
	s.next++
}

// release forgets the batch, so that it keeps no key list alive. After an abort
// the items from next on were never handled.
func (s *slots[E]) release() {
	s.handled, s.abandoned = s.next, len(s.hold)-s.next
	clear(s.hold)
	s.hold, s.handling = s.hold[:0], nil
}

func (s *slots[E]) settleLocked() uint64 {
	abandoned := uint64(s.abandoned)
	s.counts.delivered += uint64(s.handled)
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

func (s *slots[E]) interrupted() bool { return s.turn > 0 }

func (s *slots[E]) culprit() (*Subscription, string) {
	if !s.interrupted() {
		return nil, ""
	}
	return (*s.handling)[s.turn-1].sub, s.traits.name
}
