package eventbus

import (
	"reflect"
	"slices"
	"sync/atomic"
	"time"
)

// Topic publishes events of one type. It is a small value, safe for concurrent
// use; the zero Topic is inert.
type Topic[E Event] struct{ t *topic[E] }

// TopicOf is the topic of E on b. Resolve it once, where the publisher is built.
// On a nil or disabled bus it is inert.
func TopicOf[E Event](b *Bus) Topic[E] {
	if b == nil || b.opts.Disabled {
		return Topic[E]{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return Topic[E]{t: topicLocked[E](b)}
}

// Active reports whether somebody listens. It guards the cost of building an
// event, and is one atomic load.
func (t Topic[E]) Active() bool { return t.t != nil && t.t.active.Load() }

// Publish hands e to those who listen, stamped with the time of the call. It
// takes only the locks of the queues concerned, calls nobody, never panics, and
// never waits except for an isolated subscription with Wait. If nobody listens it
// does nothing. A full queue, and a closed bus, lose the event and count it.
func (t Topic[E]) Publish(e E) {
	if t.t != nil && t.t.active.Load() {
		t.t.publish(e)
	}
}

// PublishAt is Publish with the publisher's own time stamp: the time of a device,
// or the one clock reading of a call.
func (t Topic[E]) PublishAt(e E, at time.Time) {
	if t.t != nil && t.t.active.Load() {
		t.t.publishAt(e, at)
	}
}

// topic is the state behind all Topics of one type on one bus.
type topic[E Event] struct {
	active atomic.Bool // somebody listens

	// The functions behind the active branches of Publish and PublishAt. A call
	// of a function value is the only one small enough for the compiler to
	// inline those two, which makes an idle publish a load and a branch.
	publish   func(E)
	publishAt func(E, time.Time)

	routes atomic.Pointer[routes[E]] // never nil
	traits
	keys      func(E) int   // nil: not keyed
	lostAside atomic.Uint64 // events that isolated queues lost, of all subscriptions ever

	// Guarded by Bus.mu.
	shared   *slots[E]   // of the dispatcher's queue; nil before the first shared handler
	isolated []*slots[E] // one per isolated subscription, in order of registration
}

// routes is where a topic's events go. It never changes; topics swap it.
type routes[E Event] struct{ targets []*slots[E] }

func (t *topic[E]) putNow(e E) { t.put(e, time.Now()) }

// put hands e to the current targets.
func (t *topic[E]) put(e E, at time.Time) {
	var keys uint32
	if t.keys != nil {
		keys = countKeys(t.keys, &e)
	}
	for _, s := range t.routes.Load().targets {
		s.put(&e, at, keys)
	}
}

// topicLocked finds or makes the topic of E.
func topicLocked[E Event](b *Bus) *topic[E] {
	key := reflect.TypeFor[E]()
	if t, ok := b.mu.topics[key].(*topic[E]); ok {
		return t
	}
	t := &topic[E]{traits: traitsOf[E](), keys: keyCounter[E]()}
	t.routes.Store(&routes[E]{})
	t.publish, t.publishAt = t.putNow, t.put
	b.mu.topics[key] = t
	return t
}

// rerouteLocked makes the current targets visible to publishers.
func (t *topic[E]) rerouteLocked() {
	r := &routes[E]{}
	if t.shared != nil && len(*t.shared.handlers.Load()) > 0 {
		r.targets = append(r.targets, t.shared)
	}
	r.targets = append(r.targets, t.isolated...)
	t.routes.Store(r)
	t.active.Store(len(r.targets) > 0)
}

// attachLocked adds a handler of s.
func (t *topic[E]) attachLocked(s *Subscription, handle func(E, time.Time)) {
	target := t.targetLocked(s)
	old := *target.handlers.Load()
	hs := append(slices.Clip(slices.Clone(old)), handler[E]{handle: handle, sub: s})
	target.handlers.Store(&hs)
	t.rerouteLocked()
}

// targetLocked finds or makes the slots in the queue that s reads.
func (t *topic[E]) targetLocked(s *Subscription) *slots[E] {
	if !s.isolated {
		if t.shared == nil {
			t.shared = newSlots(t, s.lane, t.class, nil)
		}
		return t.shared
	}
	for _, i := range t.isolated {
		if i.lane == s.lane {
			return i
		}
	}
	i := newSlots(t, s.lane, 0, &t.lostAside)
	t.isolated = append(slices.Clip(t.isolated), i)
	return i
}

// detachLocked removes all handlers of s.
func (t *topic[E]) detachLocked(s *Subscription) {
	if s.isolated {
		t.isolated = slices.DeleteFunc(slices.Clone(t.isolated), func(i *slots[E]) bool { return i.lane == s.lane })
	} else if t.shared != nil {
		hs := slices.DeleteFunc(slices.Clone(*t.shared.handlers.Load()), func(h handler[E]) bool { return h.sub == s })
		t.shared.handlers.Store(&hs)
	}
	t.rerouteLocked()
}

// statsLocked is the topic's row, unless nobody ever listened. Bus.mu is held.
func (t *topic[E]) statsLocked() (TypeStats, bool) {
	row := TypeStats{Name: t.name, Class: t.class}
	if s := t.shared; s != nil {
		s.lane.mu.Lock()
		row = s.rowLocked()
		s.lane.mu.Unlock()
	}
	row.IsolatedDropped = t.lostAside.Load()
	return row, t.shared != nil || row.IsolatedDropped > 0
}
