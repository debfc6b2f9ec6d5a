package eventbus

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// Subscriber is what listens to a bus. Its state belongs to the goroutine that
// calls it, the dispatcher or its own (Subscription.Isolated), and needs no locks.
//
// A subscriber that also has Close() error is closed once by Bus.Close, after its
// last event and in order of registration.
type Subscriber interface {
	// Name is constant, and names the subscriber in metrics and logs.
	Name() string
	// Subscribe is called once by Bus.Subscribe. It registers with On, AfterBatch,
	// Every and Isolated what s shall call, and starts nothing.
	Subscribe(s *Subscription)
}

// ErrClosed is returned by Subscribe on a closed bus.
var ErrClosed = errors.New("eventbus: closed")

// errLate is what is wrong with On and its like outside Subscriber.Subscribe.
var errLate = errors.New("registration outside Subscribe is ignored")

// Subscription is one subscriber on one bus.
type Subscription struct {
	bus    *Bus
	owner  Subscriber
	name   string
	lane   *lane         // the shared one, or its own
	cost   *atomic.Int64 // what its callbacks took; shared with others of the same name
	closed sync.Once

	mu struct {
		sync.Mutex
		sealed bool // Subscribe has returned
		errs   []error
	}

	// Written by the subscriber's Subscribe, constant afterwards.
	bindings []binding
	hooks    []*hook
	isolated bool
	queue    int
	overflow Overflow
}

// binding is one registered handler without its type.
type binding interface {
	about() traits
	attachLocked(b *Bus, s *Subscription)
	detachLocked(b *Bus, s *Subscription)
}

type bound[E Event] struct {
	traits
	handle func(E, time.Time)
}

func (f *bound[E]) about() traits { return f.traits }
func (f *bound[E]) attachLocked(b *Bus, s *Subscription) {
	topicLocked[E](b).attachLocked(s, f.handle)
}
func (f *bound[E]) detachLocked(b *Bus, s *Subscription) { topicLocked[E](b).detachLocked(s) }

// On registers handle for events of type E; the time is the publisher's. Call it
// in Subscriber.Subscribe. Handlers of one type run in order of registration. A
// handler must be fast and do no I/O, unless the subscription is isolated; it may
// publish, but must not wait for its own bus: no Flush, Drain, Close of the bus or
// of a subscription.
func On[E Event](s *Subscription, handle func(E, time.Time)) {
	about := traitsOf[E]()
	if handle == nil {
		s.fail(fmt.Errorf("nil handler for %s", about.name))
		return
	}
	if s.open("On " + about.name) {
		s.bindings = append(s.bindings, &bound[E]{traits: about, handle: handle})
	}
}

// AfterBatch registers f to be called after each batch of events, on the same
// goroutine as the handlers. What handlers sum up is passed on here. Call it in
// Subscriber.Subscribe.
func (s *Subscription) AfterBatch(f func()) {
	if f == nil {
		s.fail(errors.New("nil function for AfterBatch"))
		return
	}
	if s.open(afterBatchName) {
		s.hooks = append(s.hooks, &hook{sub: s, name: afterBatchName, batch: f})
	}
}

// Every registers f to be called every d, between batches and also without
// traffic, on the same goroutine as the handlers; first d from now. Calls that
// are late are not made up for. Call it in Subscriber.Subscribe.
func (s *Subscription) Every(d time.Duration, f func(now time.Time)) {
	if f == nil || d <= 0 {
		s.fail(fmt.Errorf("every %v needs a positive interval and a function", d))
		return
	}
	if s.open(everyName) {
		s.hooks = append(s.hooks, &hook{sub: s, name: everyName, timed: f, every: d})
	}
}

// Isolated gives the subscription a queue and goroutine of its own, fed by the
// publishers, which may do I/O and be slow. Queue is the number of events that may
// wait there (0 or less: Options.Queue); their keys are bounded by Options.Keys. If
// there is no room, o says what happens. Call it in Subscriber.Subscribe.
func (s *Subscription) Isolated(queue int, o Overflow) {
	if s.open("Isolated") {
		s.isolated, s.queue, s.overflow = true, queue, o
	}
}

// Name is the subscriber's name; empty on a subscription of a nil bus.
func (s *Subscription) Name() string { return s.name }

// Close ends the subscription. When it returns, no handler of it runs any more or
// ever will. What waits in an isolated queue is discarded and counted as dropped;
// Finish loses nothing. The subscriber itself is not closed, and will not
// be by Bus.Close: it belongs to the caller again. Close may be called twice and at
// the same time as Bus.Close, but not from a handler of the same bus.
func (s *Subscription) Close() {
	if s.bus == nil {
		return
	}
	s.closed.Do(func() { s.bus.detach(s, true) })
}

// Finish is Close that handles what waits in an isolated queue instead of
// discarding it: nothing more comes in, and when it returns everything that did has
// been handled.
func (s *Subscription) Finish() {
	if s.bus == nil {
		return
	}
	s.closed.Do(func() { s.bus.detach(s, false) })
}

// open reports whether registration is still possible.
func (s *Subscription) open(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.sealed {
		s.bus.opts.Logger.Error("EventBus: "+errLate.Error(), "subscriber", s.name, "call", what)
	}
	return !s.mu.sealed
}

// fail makes Bus.Subscribe fail.
func (s *Subscription) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.errs = append(s.mu.errs, err)
}

// collect lets the subscriber register, and checks everything it asked for.
func (s *Subscription) collect() error {
	if err := s.ask(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.sealed = true
	errs := s.mu.errs
	for _, b := range s.bindings {
		switch about := b.about(); {
		case about.isolated && !s.isolated:
			errs = append(errs, fmt.Errorf("%s goes to isolated subscriptions only", about.name))
		case s.isolated && s.overflow > 0 && !about.isolated:
			errs = append(errs, fmt.Errorf("%s cannot make its publisher wait: the type has no EventIsolated", about.name))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("eventbus: subscribe %s: %w", s.name, errors.Join(errs...))
	}
	return nil
}

// ask calls the subscriber.
func (s *Subscription) ask() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("eventbus: subscribe %s: panic: %v", s.name, v)
		}
	}()
	if s.owner == nil || reflect.ValueOf(s.owner).Kind() == reflect.Pointer && reflect.ValueOf(s.owner).IsNil() {
		return errors.New("eventbus: subscribe: nil subscriber")
	}
	if s.name = s.owner.Name(); s.name == "" {
		return errors.New("eventbus: subscribe: subscriber without a name")
	}
	s.owner.Subscribe(s)
	return nil
}
