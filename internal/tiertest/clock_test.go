package tiertest

import (
	"context"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
)

// jumping is a live runtime whose time can be put forward, as for a process that was
// stopped for a while: what is due by then is due at once.
type jumping struct {
	*runtime.Live

	mu      sync.Mutex
	ahead   time.Duration
	pending map[*jumpTimer]struct{}
}

func newJumping() *jumping {
	return &jumping{Live: runtime.NewLive(), pending: make(map[*jumpTimer]struct{})}
}

type jumpTimer struct {
	j  *jumping
	at time.Time // in the time of j
	f  func()
	t  runtime.Timer
}

// Now is ahead of the clock.
func (j *jumping) Now() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.Live.Now().Add(j.ahead)
}

// realLocked is the clock's time for one of j.
func (j *jumping) realLocked(at time.Time) time.Time {
	if at.IsZero() {
		return at
	}
	return at.Add(-j.ahead)
}

func (j *jumping) real(at time.Time) time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.realLocked(at)
}

// At is in the time of j.
func (j *jumping) At(at time.Time, f func()) runtime.Timer {
	j.mu.Lock()
	defer j.mu.Unlock()
	t := &jumpTimer{j: j, at: at, f: f}
	j.pending[t] = struct{}{}
	t.t = j.Live.At(j.realLocked(at), t.fire)
	return t
}

func (t *jumpTimer) fire() {
	t.j.mu.Lock()
	_, due := t.j.pending[t]
	delete(t.j.pending, t)
	t.j.mu.Unlock()
	if due {
		t.f()
	}
}

// Stop stops the timer.
func (t *jumpTimer) Stop() bool {
	t.j.mu.Lock()
	defer t.j.mu.Unlock()
	_, due := t.j.pending[t]
	delete(t.j.pending, t)
	t.t.Stop()
	return due
}

// Start has its deadline in the time of j.
func (j *jumping) Start(c runtime.Call, done func(runtime.Result)) {
	c.Deadline = j.real(c.Deadline)
	j.Live.Start(c, done)
}

// Wait ends at a time of j.
func (j *jumping) Wait(ctx context.Context, woken <-chan struct{}, until time.Time) bool {
	return j.Live.Wait(ctx, woken, j.real(until))
}

// jump puts the time forward.
func (j *jumping) jump(d time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ahead += d
	for t := range j.pending {
		if t.t.Stop() {
			t.t = j.Live.At(j.realLocked(t.at), t.fire)
		}
	}
}
