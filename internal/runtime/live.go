package runtime

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Live is the runtime of a running process: the monotonic clock, one goroutine
// per call. Close stops its timers and waits for its calls and timer functions.
type Live struct {
	ctx    context.Context //nolint:containedctx // the lifetime of the runtime itself, ended by Close
	cancel context.CancelFunc
	idle   sync.Cond // of mu: nothing runs
	mu     struct {
		sync.Mutex
		closed  bool
		timers  map[*liveTimer]struct{}
		running int // calls and timer functions
	}
}

// NewLive returns a Live runtime. It owns no goroutine until it is used.
func NewLive() *Live {
	l := &Live{}
	l.ctx, l.cancel = context.WithCancel(context.Background()) //nolint:forbidigo // the root of all calls, ended by Close
	l.idle.L = &l.mu
	l.mu.timers = make(map[*liveTimer]struct{})
	return l
}

// Now is the clock's time with its monotonic reading.
func (l *Live) Now() time.Time { return time.Now() }

// Rand is a random number from the process's source.
func (l *Live) Rand() uint64 { return rand.Uint64() }

type liveTimer struct {
	l *Live
	f func()
	t *time.Timer
}

// At calls f on its own goroutine at t. After Close it does nothing.
func (l *Live) At(t time.Time, f func()) Timer {
	lt := &liveTimer{l: l, f: f}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return lt
	}
	l.mu.timers[lt] = struct{}{}
	lt.t = time.AfterFunc(time.Until(t), lt.fire)
	return lt
}

func (t *liveTimer) fire() {
	if !t.take() {
		return
	}
	defer t.l.leave()
	t.f()
}

// take claims the right to run f, so that Close either sees the timer pending or
// waits for it.
func (t *liveTimer) take() bool {
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	if _, ok := t.l.mu.timers[t]; !ok {
		return false
	}
	delete(t.l.mu.timers, t)
	t.l.mu.running++
	return true
}

// Stop prevents the call of f and reports whether it did.
func (t *liveTimer) Stop() bool {
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	if _, ok := t.l.mu.timers[t]; !ok {
		return false
	}
	delete(t.l.mu.timers, t)
	t.t.Stop()
	return true
}

// Start runs call.Do on its own goroutine under a context that ends with the
// call's deadline or with Close, then done. After Close only done runs, with
// ErrClosed; a Close that has not returned by then, or another one, waits for it.
func (l *Live) Start(call Call, done func(Result)) {
	l.mu.Lock()
	closed := l.mu.closed
	l.mu.running++
	l.mu.Unlock()
	if closed {
		go func() {
			defer l.leave()
			done(Result{Err: ErrClosed})
		}()
		return
	}
	go func() {
		defer l.leave()
		ctx, cancel := l.ctx, context.CancelFunc(func() {})
		if !call.Deadline.IsZero() {
			ctx, cancel = context.WithDeadline(ctx, call.Deadline)
		}
		defer cancel()
		start := time.Now()
		err := call.Do(ctx)
		done(Result{Err: err, Took: time.Since(start)})
	}()
}

// leave ends a call or a timer function.
func (l *Live) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.running--; l.mu.running == 0 {
		l.idle.Broadcast()
	}
}

// Wait is the runtime's; the caller's goroutine is its own.
func (l *Live) Wait(ctx context.Context, woken <-chan struct{}, until time.Time) bool {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-woken:
		return true
	case <-t.C:
	case <-ctx.Done():
	case <-l.ctx.Done():
	}
	return false
}

// Close stops all timers, cancels the context of running calls and waits for
// them and for timer functions that have begun. It is idempotent and must not
// be called from a function that the runtime runs.
func (l *Live) Close() {
	l.mu.Lock()
	l.mu.closed = true
	for t := range l.mu.timers {
		t.t.Stop()
	}
	clear(l.mu.timers)
	l.mu.Unlock()
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.mu.running > 0 {
		l.idle.Wait()
	}
}
