package eventbus

import (
	"cmp"
	"slices"
	"time"
)

// Stats is the state of a bus at one moment.
type Stats struct {
	Bulk, Reserved ClassStats        // of the shared queue
	Lag            time.Duration     // age of the oldest event waiting in the shared queue; never below 0, 0 if none waits
	Dropped        uint64            // events the shared queue lost since the start, both classes
	Types          []TypeStats       // by name; types that nobody ever listened to are missing
	Isolated       []IsolatedStats   // in order of registration
	Panics         map[string]uint64 // recovered from callbacks since the start, by subscriber; a name appears with its first
	ClockSteps     uint64            // steps of the wall clock by more than a second

	// Busy is for how long callbacks have run since the start, by subscriber. That of
	// handlers is an estimate: one event in several hundred is timed. Each name that
	// ever subscribed is there.
	Busy map[string]time.Duration

	// Stalled is for how long the dispatcher has been at a turn without getting on,
	// as far as that can be seen: it shows its progress every 1/256 of the limit and at
	// most every 64th event. 0: it rests, or got on since the last call of Stats.
	Stalled time.Duration
}

// ClassStats is the state of one admission class or isolated queue. An event
// waits from its admission until its handling begins. While a batch is being
// handled the waiting numbers may be too high by up to 1/256 of the limit.
type ClassStats struct {
	Events, Keys         int // waiting
	EventLimit, KeyLimit int
}

// TypeStats counts the events of one type in the shared queue or in one isolated
// queue since its start. Once nothing waits, Published = Delivered + Dropped.
// Events published while nobody listened are not counted.
type TypeStats struct {
	Name            string // wire name
	Class           Class
	Published       uint64
	Delivered       uint64 // handled, as of the last finished batch
	Dropped         uint64
	IsolatedDropped uint64 // lost by isolated queues, of all subscriptions since the start; 0 in the rows of one queue
}

// IsolatedStats is the state of one isolated subscription.
type IsolatedStats struct {
	Subscriber string
	Waiting    ClassStats
	Dropped    uint64        // all types
	Types      []TypeStats   // by name
	Stalled    time.Duration // as Stats.Stalled, of its goroutine
}

// Stats returns the state of the bus. It takes bounded time and may be called from
// any goroutine.
func (b *Bus) Stats() Stats {
	if b == nil {
		return Stats{}
	}
	if !b.opts.Manual {
		b.clock.observe(time.Now())
	}
	s := Stats{
		Lag:        b.shared.lag(b.now()),
		Dropped:    b.shared.drops(),
		Panics:     b.failures.bySubscriber(),
		ClockSteps: b.clock.steps(),
		Types:      b.types(),
		Busy:       b.busy(),
		Stalled:    b.shared.stalled(time.Now()),
	}
	classes := b.shared.occupancy()
	s.Bulk, s.Reserved = classes[Bulk], classes[Reserved]
	for _, sub := range b.subscriptions() {
		if sub.isolated && !b.opts.Disabled {
			s.Isolated = append(s.Isolated, sub.lane.isolatedStats(sub.name))
		}
	}
	return s
}

func (b *Bus) types() []TypeStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	var rows []TypeStats
	for _, t := range b.mu.topics {
		if row, ok := t.statsLocked(); ok {
			rows = append(rows, row)
		}
	}
	sortRows(rows)
	return rows
}

func (b *Bus) busy() map[string]time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make(map[string]time.Duration, len(b.mu.costs))
	for name, total := range b.mu.costs {
		all[name] = time.Duration(total.Load())
	}
	return all
}

// pace is how far the consumer had come when somebody looked.
type pace struct {
	begun uint64 // events
	at    time.Time
}

// stalled is Stats.Stalled. Within the first stretch of a turn the age of the turn
// is that of its progress; behind it, what counts is since when nothing has moved,
// from one look to the next.
func (l *lane) stalled(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	turned := l.turned.Load()
	if turned == 0 || l.mu.ended {
		return 0
	}
	last := l.cost.base.Add(time.Duration(turned))
	begun := l.begun[0].load().events + l.begun[1].load().events
	if begun > l.mu.base+1 {
		if begun != l.mu.pace.begun {
			l.mu.pace = pace{begun, now}
		}
		last = l.mu.pace.at
	}
	return max(now.Sub(last), 0)
}

func sortRows(rows []TypeStats) {
	slices.SortFunc(rows, func(x, y TypeStats) int { return cmp.Compare(x.Name, y.Name) })
}

func (l *lane) drops() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.drops
}

// full is how many events found no room.
func (l *lane) full() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.full
}

// occupancy is the state of the classes.
func (l *lane) occupancy() (out [2]ClassStats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for class := range out {
		a := &l.mu.classes[class]
		a.seen = l.begun[class].load()
		out[class] = ClassStats{
			Events:     int(a.events - a.seen.events),
			Keys:       int(a.keys - a.seen.keys),
			EventLimit: int(a.limit),
			KeyLimit:   int(a.keyLimit),
		}
	}
	return out
}

// lag is the age of the oldest waiting event.
func (l *lane) lag(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	begun := l.begun[0].load().events + l.begun[1].load().events
	var head *record
	switch i := begun - l.mu.base; {
	case i < uint64(len(l.mu.inHand)):
		head = &l.mu.inHand[i]
	case len(l.mu.records) > 0:
		head = &l.mu.records[0]
	default:
		return 0
	}
	return max(now.Sub(head.at), 0)
}

func (l *lane) isolatedStats(name string) IsolatedStats {
	s := IsolatedStats{Subscriber: name, Waiting: l.occupancy()[0], Stalled: l.stalled(time.Now())}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Dropped = l.mu.drops
	for _, c := range l.mu.columns {
		s.Types = append(s.Types, c.rowLocked())
	}
	sortRows(s.Types)
	return s
}
