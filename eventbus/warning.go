package eventbus

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// warning logs that the shared queue loses events: the first time at once, then
// at most once per second with the cumulative number. Publishers may hold locks,
// and the dispatcher may be what is stuck, so neither of them writes the line: a
// timer does, which costs no goroutine while nothing is lost. On a manual bus
// Drain, Flush and Close do it.
type warning struct {
	bus   *Bus
	timer *time.Timer // nil on a manual bus
	armed atomic.Bool // the timer is set, or fire is running
	mu    struct {
		sync.Mutex
		closed bool
		logged uint64    // losses that the last line told of
		at     time.Time // of the last line; manual bus only
	}
}

func newWarning(b *Bus) *warning {
	w := &warning{bus: b}
	if !b.opts.Manual {
		w.timer = time.AfterFunc(time.Hour, w.fire)
		w.timer.Stop()
	}
	return w
}

// arm says that an event was lost. It takes no lock.
func (w *warning) arm() {
	if w.timer != nil && w.armed.CompareAndSwap(false, true) {
		w.timer.Reset(0)
	}
}

// fire logs the losses since the last line and looks again in a second.
func (w *warning) fire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.closed {
		return
	}
	if w.logLocked() {
		w.timer.Reset(logEvery)
		return
	}
	w.armed.Store(false)
	if w.bus.shared.full() != w.mu.logged { // lost since, by somebody who found it armed
		w.arm()
	}
}

// logLocked writes a line if something was lost since the last one.
func (w *warning) logLocked() bool {
	lost := w.bus.shared.full()
	if lost == w.mu.logged {
		return false
	}
	w.mu.logged = lost
	w.bus.opts.Logger.Warn(fmt.Sprintf("EventBus queue full (max_queue_size=%d), %d event(s) discarded so far",
		w.bus.opts.Queue, lost))
	return true
}

// poll is fire for a manual bus.
func (w *warning) poll(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.logged > 0 && now.Sub(w.mu.at) < logEvery {
		return
	}
	if w.logLocked() {
		w.mu.at = now
	}
}

// close stops the timer and waits for a line being written.
func (w *warning) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.closed = true
	if w.timer != nil {
		w.timer.Stop()
	}
}
