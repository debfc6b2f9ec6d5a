package fs

import (
	"sync"

	"github.com/lmcache-go/lmcache/l2"
)

// gate counts the calls that are in the store, so that Close can wait for them.
type gate struct {
	mu struct {
		sync.Mutex
		inside int
		closed bool
		empty  chan struct{} // closed when the last call has left a closed gate
	}
}

func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.closed {
		return l2.ErrClosed
	}
	g.mu.inside++
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.inside--
	if g.mu.closed && g.mu.inside == 0 {
		close(g.mu.empty)
	}
}

// close lets nobody in any more and waits for those who are inside. It reports
// whether it was the first call.
func (g *gate) close() bool {
	g.mu.Lock()
	first := !g.mu.closed
	if first {
		g.mu.closed = true
		g.mu.empty = make(chan struct{})
		if g.mu.inside == 0 {
			close(g.mu.empty)
		}
	}
	empty := g.mu.empty
	g.mu.Unlock()
	<-empty
	return first
}
