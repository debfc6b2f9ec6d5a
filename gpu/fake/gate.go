package fake

import (
	"sync"
	"sync/atomic"
)

// gate holds work back. The zero value is open.
type gate struct {
	paused  atomic.Bool // Step and Run pass
	hung    atomic.Bool // nobody passes
	closing atomic.Bool // everybody passes, whatever else is set
	mu      struct {
		sync.Mutex
		changed chan struct{} // nil: nobody asked since the last change
	}
}

func (g *gate) pausing() bool { return g.paused.Load() && !g.closing.Load() }

func (g *gate) hanging() bool { return g.hung.Load() && !g.closing.Load() }

// changes returns a channel that is closed at the next change. Whoever waits for
// one asks first and looks at the state then.
func (g *gate) changes() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.changed == nil {
		g.mu.changed = make(chan struct{})
	}
	return g.mu.changed
}

// notify wakes all who wait for a change.
func (g *gate) notify() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.changed != nil {
		close(g.mu.changed)
		g.mu.changed = nil
	}
}
