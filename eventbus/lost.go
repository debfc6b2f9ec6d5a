package eventbus

import (
	"fmt"
	"time"
)

// OnLost registers f to be told of every event of type E that an isolated
// subscription does not get because its queue has no room or is closed; the time is
// the publisher's. Events that wait when a subscription or a bus is closed without
// handling them are not told of. Call it in Subscriber.Subscribe, before On.
//
// Only types with EventIsolated can be told of, as f runs on the goroutine of the
// publisher, with no lock of the bus held, and may be called by several at a time. It
// must be short and wait for nothing but its own lock.
func OnLost[E Event](s *Subscription, f func(E, time.Time)) {
	about := traitsOf[E]()
	switch {
	case f == nil:
		s.fail(fmt.Errorf("nil function for the loss of %s", about.name))
	case !about.isolated:
		s.fail(fmt.Errorf("%s cannot be told of when it is lost: the type has no EventIsolated", about.name))
	case s.open("OnLost " + about.name):
		s.bindings = append(s.bindings, &lost[E]{traits: about, tell: f})
	}
}

// lost is a function registered with OnLost.
type lost[E Event] struct {
	traits
	tell func(E, time.Time)
}

func (f *lost[E]) about() traits { return f.traits }
func (f *lost[E]) attachLocked(b *Bus, s *Subscription) {
	topicLocked[E](b).targetLocked(s).lost.Store(f)
}
func (f *lost[E]) detachLocked(*Bus, *Subscription) {} // the handlers take the whole queue with them

// call tells of one event. A panic costs this event only.
func (f *lost[E]) call(e E, at time.Time) {
	defer func() { _ = recover() }()
	f.tell(e, at)
}
