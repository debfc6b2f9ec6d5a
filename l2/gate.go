package l2

import (
	"context"
	"sync"
	"time"
)

// Gate is what an adapter needs to keep the promises of Close: calls enter and leave
// it, and Close lets nobody in any more and waits for those who are inside. The zero
// value is open. All methods are safe for concurrent use.
type Gate struct {
	mu     sync.Mutex
	closed bool
	done   chan struct{}  // closed with the gate; nil: nobody has asked for it
	inside sync.WaitGroup // grows under mu while not closed
}

// Enter begins a call, which ends with Leave; [ErrClosed]: there are none any more.
func (g *Gate) Enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	g.inside.Add(1)
	return nil
}

// Leave ends a call.
func (g *Gate) Leave() { g.inside.Done() }

// Closing is closed as soon as Close has been called, for calls that wait.
func (g *Gate) Closing() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.done == nil {
		g.done = make(chan struct{})
		if g.closed {
			close(g.done)
		}
	}
	return g.done
}

// Pause waits for d, unless the context ends or the gate closes before.
func (g *Gate) Pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-g.Closing():
		return ErrClosed
	}
}

// Close returns when all calls have left. It reports whether it was the first one,
// which has more to do.
func (g *Gate) Close() (first bool) {
	g.mu.Lock()
	first = !g.closed
	g.closed = true
	if first && g.done != nil {
		close(g.done)
	}
	g.mu.Unlock()
	g.inside.Wait()
	return first
}
