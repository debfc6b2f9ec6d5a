package fake

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// event is a recorded point of a stream.
type event struct {
	dev    *Device
	vector vector        // with Options.Detect: what is ordered before it
	done   atomic.Bool   // the fields below are set
	t      time.Duration // device time in host terms, since the device's base
	at     time.Time     // the same as the host is told: converted by anchors
	err    error

	mu struct {
		sync.Mutex
		reached chan struct{} // closed when done; nil until somebody waits
	}
}

// finish marks the event as reached.
func (e *event) finish(t time.Duration, at time.Time, err error) {
	e.t, e.at, e.err = t, at, err
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done.Store(true)
	if e.mu.reached != nil {
		close(e.mu.reached)
	}
}

// reaches returns a channel that is closed when the event is done.
func (e *event) reaches() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.reached == nil {
		e.mu.reached = make(chan struct{})
		if e.done.Load() {
			close(e.mu.reached)
		}
	}
	return e.mu.reached
}

// Done tells whether the stream has reached the event. With the Virtual clock
// it first runs one piece of work if the event is not done, so that polling
// makes progress.
func (e *event) Done() (at time.Time, done bool, err error) {
	if !e.done.Load() {
		if !e.dev.drives() || !e.dev.Step() || !e.done.Load() {
			return time.Time{}, false, nil
		}
	}
	e.observed()
	return e.at, true, e.err
}

// Wait blocks until the event is done or ctx ends. With the Virtual clock it runs
// work meanwhile.
func (e *event) Wait(ctx context.Context) error {
	for !e.done.Load() {
		if err := ctx.Err(); err != nil {
			return err
		}
		changed := e.progress(e.dev.drives())
		if changed == nil {
			continue
		}
		select {
		case <-e.reaches():
		case <-changed:
		case <-ctx.Done():
		}
	}
	e.observed()
	return e.err
}

// await is Wait for the end of a stream: without a context, and driving also a
// Manual device.
func (e *event) await() {
	for !e.done.Load() {
		changed := e.progress(e.dev.opts.Clock == Virtual && !e.dev.gate.pausing())
		if changed == nil {
			continue
		}
		select {
		case <-e.reaches():
		case <-changed:
		}
	}
}

// progress runs one piece of work if drive is set and there is one; then it
// returns nil. Else it returns what to wait for besides the event: a change of
// what holds work back.
func (e *event) progress(drive bool) <-chan struct{} {
	changed := e.dev.gate.changes()
	if drive && e.dev.Step() {
		return nil
	}
	return changed
}

// observed notes that the host knows that the event is done: what it queues from
// now on is ordered behind it.
func (e *event) observed() {
	if det := e.dev.detector; det != nil {
		det.observe(e.vector)
	}
}
