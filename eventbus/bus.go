package eventbus

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"sync"
	"time"
)

// maxRounds bounds how often Drain, and a manual Flush and Close, look for events
// that handlers published meanwhile, so that a publisher on another goroutine
// cannot keep them for ever.
const maxRounds = 32

// Bus carries events from those who publish to those who subscribed. All methods
// are safe for concurrent use, and do nothing on a nil Bus.
type Bus struct {
	opts     Options
	shared   *lane
	clock    clock
	failures failures
	done     chan struct{} // closed when Close is through
	consume  sync.Mutex    // manual bus: held by whoever handles events

	mu struct {
		sync.Mutex
		topics  map[reflect.Type]anyTopic
		costs   costs
		subs    []*Subscription // in order of registration
		started bool            // the dispatcher
		closed  bool
	}
}

// anyTopic is a topic without its type.
type anyTopic interface {
	statsLocked() (TypeStats, bool)
}

// New makes a bus. A live one must be closed; it has no goroutine before the
// first subscription.
func New(o Options) *Bus {
	o = o.withDefaults()
	b := &Bus{opts: o, done: make(chan struct{})}
	b.mu.topics = make(map[reflect.Type]anyTopic)
	b.mu.costs = make(costs)
	b.shared = newLane(b, o.Queue, o.Reserved, Drop)
	b.shared.warn = newWarning(b)
	return b
}

// Subscribe lets s register what it wants to hear, all or, on an error, nothing.
// It works at any time; events that already wait may reach s too. The first
// subscription starts the dispatcher. On a disabled bus s registers but is never
// called.
func (b *Bus) Subscribe(s Subscriber) (*Subscription, error) {
	if b == nil {
		return &Subscription{}, nil
	}
	sub := &Subscription{bus: b, owner: s, lane: b.shared}
	if err := sub.collect(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.closed {
		return nil, fmt.Errorf("eventbus: subscribe %s: %w", sub.name, ErrClosed)
	}
	b.mu.subs = append(slices.Clip(b.mu.subs), sub)
	if !b.opts.Disabled {
		b.attachLocked(sub)
	}
	return sub, nil
}

// Open reports whether who subscribes hears of events: not on a bus that is nil,
// disabled or closed.
func (b *Bus) Open() bool {
	if b == nil || b.opts.Disabled {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.mu.closed
}

// attachLocked connects sub and starts its consumer.
func (b *Bus) attachLocked(sub *Subscription) {
	sub.cost = b.mu.costs.ofLocked(sub.name)
	if sub.isolated {
		if sub.queue <= 0 {
			sub.queue = b.opts.Queue
		}
		if b.opts.Manual {
			sub.overflow = Drop
		}
		sub.lane = newLane(b, sub.queue, sub.queue, sub.overflow)
	}
	now := time.Now()
	if b.opts.Manual {
		now = b.clock.now()
	}
	sub.lane.attachHooks(sub, now)
	for _, f := range sub.bindings {
		f.attachLocked(b, sub)
	}
	if b.opts.Manual || (!sub.isolated && b.mu.started) {
		return
	}
	if !sub.isolated {
		b.mu.started = true
	}
	sub.lane.start()
}

// detach is Subscription.Close, or with discard false Finish.
func (b *Bus) detach(sub *Subscription, discard bool) {
	b.mu.Lock()
	b.mu.subs = slices.DeleteFunc(slices.Clone(b.mu.subs), func(s *Subscription) bool { return s == sub })
	if b.opts.Disabled {
		b.mu.Unlock()
		return
	}
	for _, f := range sub.bindings {
		f.detachLocked(b, sub)
	}
	sub.lane.detachHooks(sub)
	b.mu.Unlock()

	switch {
	case b.opts.Manual:
		b.consume.Lock()
		if sub.isolated {
			sub.lane.close(discard)
			for n := 1; n > 0; { // a pass leaves what is published during it
				n = sub.lane.pass()
			}
		}
		b.consume.Unlock()
	case sub.isolated:
		sub.lane.close(discard)
		<-sub.lane.stopped
	default:
		if fence := sub.lane.fence(); fence != nil {
			<-fence
		}
	}
	b.failures.forget(sub)
}

// subscriptions is the list at this moment; it is never changed in place.
func (b *Bus) subscriptions() []*Subscription {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.subs
}

// lanes are all queues: the shared one, then the isolated ones in order of
// registration.
func (b *Bus) lanes() iter.Seq[*lane] {
	return func(yield func(*lane) bool) {
		if !yield(b.shared) {
			return
		}
		for _, s := range b.subscriptions() {
			if s.isolated && !b.opts.Disabled && !yield(s.lane) {
				return
			}
		}
	}
}

// Flush returns when everything admitted before the call has been handled, in
// isolated queues too, and the AfterBatch functions have run; or with the
// context's error. Publishers that go on do not keep it waiting. On a manual bus
// it does what Drain does, at the time that Drain was last given.
func (b *Bus) Flush(ctx context.Context) error {
	if b == nil || b.opts.Disabled {
		return nil
	}
	if b.opts.Manual {
		b.consume.Lock()
		defer b.consume.Unlock()
		return b.drain(ctx, b.now())
	}
	var waits []<-chan struct{}
	for l := range b.lanes() {
		if w := l.flush(); w != nil {
			waits = append(waits, w)
		}
	}
	for _, w := range waits {
		select {
		case <-w:
		case <-ctx.Done():
			return fmt.Errorf("eventbus: flush: %w", context.Cause(ctx))
		}
	}
	return nil
}

// Close delivers everything admitted before the call, closes every subscriber
// once in order of registration, and returns when all that is done. From the call
// on, publishing counts as dropped. If ctx ends first, what still waits is counted
// as dropped, the rest of the work goes on behind the handlers and subscribers
// that are still running, and Close returns the context's error; calling it again
// waits for the rest. It may be called twice and by several goroutines.
//
// Stop the publishers first, then close the bus, then what its subscribers write to.
func (b *Bus) Close(ctx context.Context) error {
	if b == nil {
		return nil
	}
	if b.opts.Manual || b.opts.Disabled {
		return b.closeHere(ctx)
	}
	b.mu.Lock()
	if !b.mu.closed {
		b.mu.closed = true
		b.closeLanesLocked(false)
		go b.shutdown(b.mu.subs)
	}
	b.mu.Unlock()
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-b.done:
		return nil
	default:
	}
	b.mu.Lock()
	b.closeLanesLocked(true)
	b.mu.Unlock()
	return fmt.Errorf("eventbus: close: %w", context.Cause(ctx))
}

func (b *Bus) closeLanesLocked(discard bool) {
	b.shared.close(discard)
	for _, s := range b.mu.subs {
		if s.isolated {
			s.lane.close(discard)
		}
	}
}

// shutdown waits for the consumers and closes the subscribers.
func (b *Bus) shutdown(subs []*Subscription) {
	defer close(b.done)
	b.mu.Lock()
	started := b.mu.started
	b.mu.Unlock()
	if started {
		<-b.shared.stopped
	}
	for _, s := range subs {
		if s.isolated {
			<-s.lane.stopped
		}
	}
	b.shared.warn.close()
	b.closeSubscribers(subs)
}

// closeSubscribers closes those of subs whose subscription was not ended.
func (b *Bus) closeSubscribers(subs []*Subscription) {
	for _, s := range subs {
		c, ok := s.owner.(interface{ Close() error })
		if !ok || !slices.Contains(b.subscriptions(), s) {
			continue
		}
		if err := closeSafely(c.Close); err != nil {
			b.opts.Logger.Error("EventBus: error shutting down "+s.name, "error", err)
		}
	}
}

func closeSafely(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return f()
}
