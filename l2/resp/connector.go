package resp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/l2"
)

// connector makes the link when it is needed, and another one after it was lost. Of
// several servers it looks for one that writes; the first that does not serves loads
// meanwhile, and afterwards if there is no other.
//
// A search is nobody's call: it takes up to ConnectTimeout for each server, and those who
// wait for it give up in their own time.
type connector struct {
	o      Options
	life   context.Context //nolint:containedctx // of searches and links, ended by close
	cancel context.CancelFunc
	tasks  sync.WaitGroup // searches, and links that are being closed
	mu     struct {
		sync.Mutex
		link     *link              // nil: not connected
		links    map[*link]struct{} // all that are not closed
		search   *search            // nil: none is under way
		searched time.Time          // when a refusal last began one
		missing  error              // why the last search found no server that writes
		closed   bool
	}
}

// search is one walk through the servers.
type search struct {
	refused string          // a server that refuses to write; it may not know that it does
	ctx     context.Context //nolint:containedctx // of what it opens, until that is in use
	cancel  context.CancelFunc
	told    bool          // found is closed; guarded by the mutex of the connector
	found   chan struct{} // closed when there is a link, or none
	err     error         // there is none; written before found is closed
}

// tellLocked says that there is a link, or why there is none.
func (s *search) tellLocked(err error) {
	if !s.told {
		s.told, s.err = true, err
		close(s.found)
	}
}

func newConnector(o Options) *connector {
	n := &connector{o: o}
	n.life, n.cancel = context.WithCancel(context.Background()) //nolint:forbidigo // the root of all connections, ended by close
	n.mu.links = make(map[*link]struct{})
	return n
}

// choice reports whether there are several servers of which one is used.
func (n *connector) choice() bool { return !n.o.Cluster && len(n.o.Addrs) > 1 }

// get lends a link, or waits for one as long as ctx allows. One search at a time is for
// all. The link is given back with release.
func (n *connector) get(ctx context.Context) (*link, error) {
	for ctx.Err() == nil {
		n.mu.Lock()
		if n.mu.closed {
			n.mu.Unlock()
			return nil, l2.ErrClosed
		}
		if l := n.mu.link; l != nil {
			l.users++
			n.mu.Unlock()
			return l, nil
		}
		if n.mu.search == nil {
			n.beginLocked("")
		}
		s := n.mu.search
		n.mu.Unlock()
		select {
		case <-s.found:
			if s.err != nil {
				return nil, s.err
			}
		case <-ctx.Done():
		}
	}
	return nil, outside(ctx, fmt.Errorf("no connection yet: %w", ctx.Err()))
}

// release gives a link back.
func (n *connector) release(l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l.users--
	n.closeLocked(l)
}

// retireLocked has a link closed once nobody uses it.
func (n *connector) retireLocked(l *link) {
	l.retired = true
	n.closeLocked(l)
}

func (n *connector) closeLocked(l *link) {
	if _, open := n.mu.links[l]; open && l.retired && l.users == 0 && !n.mu.closed {
		delete(n.mu.links, l)
		n.tasks.Go(l.close)
	}
}

// beginLocked begins a search.
func (n *connector) beginLocked(refused string) {
	s := &search{refused: refused, found: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(n.life)
	n.mu.search = s
	n.tasks.Go(func() { n.walk(s) })
}

// walk tries the servers in order until one writes.
func (n *connector) walk(s *search) {
	defer s.cancel()
	addrs := [][]string{n.o.Addrs}
	if n.choice() {
		addrs = nil
		for _, a := range n.o.Addrs {
			addrs = append(addrs, []string{a})
		}
	}
	var errs []error
	for _, to := range addrs {
		l, err := n.dial(s.ctx, to)
		if err != nil {
			errs = append(errs, at(to, err))
			continue
		}
		if l.addr == s.refused && l.server.role == "" {
			l.server.refuses = true
		}
		best := l.server.rank() == writes
		if n.use(s, l); best {
			errs = nil
			break
		}
	}
	n.end(s, errors.Join(errs...))
}

// use takes a link into use, unless there is a better one.
func (n *connector) use(s *search, l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.mu.link
	if n.mu.closed || n.mu.search != s || old != nil && l.server.rank() <= old.server.rank() {
		n.tasks.Go(l.close) // a search is a task
		return
	}
	n.mu.link, n.mu.links[l] = l, struct{}{}
	if old != nil {
		n.retireLocked(old)
	}
	s.tellLocked(nil)
}

// end ends a search that failed with these servers.
func (n *connector) end(s *search, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.search != s { // it was given up
		return
	}
	n.mu.search, n.mu.missing = nil, err
	if n.mu.closed {
		err = l2.ErrClosed
	}
	s.tellLocked(err)
}

// failed gives up a link whose connection failed, so that the next call looks for
// another server. One of a cluster looks itself.
func (n *connector) failed(l *link, err error) {
	if !n.choice() || !l2.Unreachable(err) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.link != l {
		return
	}
	n.mu.link = nil
	if s := n.mu.search; s != nil { // for a better one; now any will do
		n.mu.search = nil
		s.cancel()
	}
	n.retireLocked(l)
}

// patience is how long it takes until a server that writes is looked for again.
const patience = 5 * time.Second

// refused looks for another server when the one in use refuses to write, and returns why
// the last such search was in vain. Meanwhile that server serves loads.
func (n *connector) refused(l *link) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.link != l || n.mu.closed {
		return nil
	}
	l.server.refuses = true
	if n.mu.search == nil && time.Since(n.mu.searched) > patience {
		n.mu.searched = time.Now()
		n.beginLocked(l.addr)
	}
	return n.mu.missing
}

// accepted notes that a server writes.
func (n *connector) accepted(l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l.server.refuses = false
}

// close ends all links and searches, and waits for them.
func (n *connector) close() {
	n.mu.Lock()
	n.mu.closed = true
	links := n.mu.links
	n.mu.link, n.mu.links = nil, nil
	n.mu.Unlock()
	n.cancel()
	for l := range links {
		l.close()
	}
	n.tasks.Wait()
}

// describe is the server in use; empty: there is none.
func (n *connector) describe() (addr string, s server) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.link == nil {
		return "", server{}
	}
	return n.mu.link.addr, n.mu.link.server
}
