package eventbus

import (
	"sync"
	"sync/atomic"
	"time"
)

// nap is how long a consumer lets events gather after a batch. Waking a
// goroutine costs its waker more than ten publishes; with the nap, a busy bus
// wakes its dispatcher a thousand times a second at most, and publishers do it
// only if it had gone idle or a queue is filling up.
const nap = time.Millisecond

// record is one event in a lane's FIFO. Its value is the next one of its column.
type record struct {
	at     time.Time
	keys   uint32
	column uint16
	class  Class
}

// state is what a lane's consumer does, as publishers need to know it.
type state uint8

const (
	busy    state = iota // handles a batch, or has been signalled
	napping              // signal when a queue is a quarter full
	idle                 // signal
)

// lane is one queue with the goroutine that handles it: the shared queue and the
// dispatcher, or the queue and goroutine of one isolated subscription. On a
// manual bus there is no goroutine, and pass does its work.
//
// Lock order: Bus.mu, then lane.mu. No lock is held while a handler runs, except
// Bus.consume on a manual bus.
type lane struct {
	bus         *Bus
	overflow    Overflow // shared lane: Drop
	stride      int      // events between two stores of begun
	quarter     [2]uint64
	quarterKeys uint64
	warn        *warning // of losses; nil in isolated lanes
	signals     chan struct{}
	stopped     chan struct{} // closed when the consumer has returned
	abort       atomic.Bool   // abandon what waits
	hooks       atomic.Pointer[hooks]
	waiting     atomic.Int32 // publishers waiting for room
	turned      atomic.Int64 // when the turn began, in nanoseconds of cost; 0: the consumer rests

	mu struct {
		sync.Mutex
		state   state
		closed  bool // admits nothing
		ended   bool // the consumer has handled everything and is gone
		classes [2]admission
		columns []column
		touched []column      // those with something filled
		records []record      // admitted, not swapped out yet
		inHand  []record      // the batch being handled
		base    uint64        // events admitted before that batch
		done    uint64        // events of finished batches
		drops   uint64        // lost for any reason
		full    uint64        // of these, lost because there was no room
		room    chan struct{} // closed when publishers may find room; nil: none waits
		waiters []waiter
		pace    pace
	}

	begun [2]begun

	// Consumer only.
	batch   []record // the same as mu.inHand
	pos     int      // record that is or will be handled
	columns []column
	held    []column // those with something of the batch
	taken   [2]totals
	counted int // records of batch that begun.mine includes
	heard   int // of these, the next one at which begun is stored
	worked  bool
	timer   *time.Timer
	cost    meter
	hook    *hook     // being called
	tickAt  time.Time // for the hook being called
}

// waiter waits for the end of a turn of the consumer after which at least target
// events are done.
type waiter struct {
	target uint64
	done   chan struct{}
}

func newLane(b *Bus, bulk, reserved int, o Overflow) *lane {
	l := &lane{bus: b, overflow: o, signals: make(chan struct{}, 1), stopped: make(chan struct{})}
	for class, limit := range []int{bulk, reserved} {
		l.mu.classes[class].limit = uint64(limit)
		l.mu.classes[class].keyLimit = uint64(b.opts.Keys)
		l.quarter[class] = uint64(limit / 4)
	}
	l.quarterKeys = uint64(b.opts.Keys / 4)
	l.stride = min(max(min(bulk, reserved)/256, 1), 64)
	if o > 0 {
		l.stride = 1 // publishers wait for it
	}
	l.hooks.Store(&hooks{})
	l.cost.start()
	return l
}

// wakeLocked decides, after an event of class was appended, whether the consumer
// must be signalled. If so, the caller must call signal after unlocking.
func (l *lane) wakeLocked(class Class) bool {
	if l.mu.state == napping {
		// What was swapped out has been handled, and seen says so.
		a := &l.mu.classes[class]
		if a.events-a.seen.events <= l.quarter[class] && a.keys-a.seen.keys <= l.quarterKeys {
			return false
		}
	}
	return l.claimLocked()
}

// claimLocked takes on the duty to signal a resting consumer.
func (l *lane) claimLocked() bool {
	if l.mu.state == busy {
		return false
	}
	l.mu.state = busy
	return true
}

func (l *lane) signal() {
	select {
	case l.signals <- struct{}{}:
	default: // one is on its way
	}
}

// dropLocked counts a lost event and reports whether a warning is due.
func (l *lane) dropLocked() bool {
	l.mu.drops++
	if l.mu.closed {
		return false
	}
	l.mu.full++
	return l.warn != nil
}

// close admits nothing from here on. With discard, what waits is counted as
// dropped; otherwise it is handled before the consumer goes.
func (l *lane) close(discard bool) {
	if discard {
		l.abort.Store(true)
	}
	l.mu.Lock()
	l.mu.closed = true
	room := l.mu.room
	l.mu.room = nil
	wake := l.claimLocked()
	l.mu.Unlock()
	if room != nil {
		close(room)
	}
	if wake {
		l.signal()
	}
}

// flush returns a channel that is closed once everything admitted so far has
// been handled, its AfterBatch functions included. On a manual bus it is nil.
func (l *lane) flush() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	admitted := l.mu.classes[0].events + l.mu.classes[1].events
	if l.mu.done >= admitted {
		return nil
	}
	return l.awaitTurnLocked(admitted)
}

// fence returns a channel that is closed once nothing runs any more that was
// registered when it was called; nil if nothing does.
func (l *lane) fence() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.ended || l.mu.state != busy {
		return nil
	}
	return l.awaitTurnLocked(0)
}

func (l *lane) awaitTurnLocked(target uint64) <-chan struct{} {
	done := make(chan struct{})
	l.mu.waiters = append(l.mu.waiters, waiter{target: target, done: done})
	if l.claimLocked() {
		l.signal()
	}
	return done
}
