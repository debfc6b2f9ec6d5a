package resp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/lmcache-go/lmcache/l2"
)

// connector makes the client when it is needed, and another one after it was lost.
// An attempt to connect is nobody's call: it takes up to ConnectTimeout for each
// server, and those who wait for it give up in their own time.
type connector struct {
	o      Options
	life   context.Context //nolint:containedctx // of attempts, ended by close
	cancel context.CancelFunc
	mu     struct {
		sync.Mutex
		client   rueidis.Client // nil: not connected
		addr     string
		server   server
		searched time.Time // when a master was last looked for because of a refusal
		attempt  *attempt  // nil: nobody connects
		closed   bool
	}
}

// server is what a server says of itself; the zero value: nothing.
type server struct {
	policy  string // maxmemory-policy
	replica bool
}

// attempt is one try to connect. There is a client, or none, once done is closed; the try
// itself, which looks on for a master if that is a replica, has ended once over is.
type attempt struct {
	refused string // address of a server that refuses stores, whatever it says of itself
	err     error
	done    chan struct{}
	over    chan struct{}
	forget  []func() bool // of its connections, which the end of the adapter does not end any more
}

func newConnector(o Options) *connector {
	n := &connector{o: o}
	n.life, n.cancel = context.WithCancel(context.Background()) //nolint:forbidigo // the root of all attempts, ended by close
	return n
}

// get returns a client, or waits for one as long as ctx allows. One attempt at a time
// is for all.
func (n *connector) get(ctx context.Context) (rueidis.Client, error) {
	for {
		n.mu.Lock()
		c, closed := n.mu.client, n.mu.closed
		if c == nil && !closed && n.mu.attempt == nil {
			n.beginLocked("")
		}
		a := n.mu.attempt
		n.mu.Unlock()
		switch {
		case closed:
			return nil, l2.ErrClosed
		case c != nil:
			return c, nil
		}
		select {
		case <-a.done:
			if a.err != nil {
				return nil, a.err
			}
		case <-ctx.Done():
			return nil, outside(ctx, fmt.Errorf("no connection yet: %w", ctx.Err()))
		}
	}
}

// beginLocked begins an attempt.
func (n *connector) beginLocked(refused string) {
	n.mu.attempt = &attempt{refused: refused, done: make(chan struct{}), over: make(chan struct{})}
	go n.connect(n.mu.attempt)
}

// connect tries the servers in order until one is a master. The first replica serves
// meanwhile, and afterwards if there is no master.
func (n *connector) connect(a *attempt) {
	defer close(a.over)
	addrs := [][]string{n.o.Addrs}
	if n.choice() {
		addrs = nil
		for _, a := range n.o.Addrs {
			addrs = append(addrs, []string{a})
		}
	}
	var errs []error
	for _, to := range addrs {
		c, err := n.dial(to)
		if err != nil {
			errs = append(errs, at(to, err))
			continue
		}
		s := n.ask(c)
		s.replica = n.choice() && (s.replica || to[0] == a.refused)
		if out := n.use(a, c, to[0], s); out != nil {
			out.Close() // without the mutex, which its connections may ask for
		}
		if !s.replica {
			break
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.attempt = nil
	for _, f := range a.forget {
		f()
	}
	if n.mu.client == nil {
		a.err = errors.Join(errs...)
		if n.mu.closed {
			a.err = l2.ErrClosed
		}
	}
	a.tell()
}

// use takes a client into use, if it is better than the one in use, and returns the one
// that is not used any more.
func (n *connector) use(a *attempt, c rueidis.Client, addr string, s server) (out rueidis.Client) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.closed || n.mu.client != nil && s.replica {
		return c
	}
	out, n.mu.client, n.mu.addr, n.mu.server = n.mu.client, c, addr, s
	a.tell()
	return out
}

// tell says that there is a client, or none. It is called with the mutex.
func (a *attempt) tell() {
	select {
	case <-a.done:
	default:
		close(a.done)
	}
}

func (n *connector) dial(addrs []string) (rueidis.Client, error) {
	o := rueidis.ClientOption{
		InitAddress: addrs, Username: n.o.Username, Password: n.o.Password, SelectDB: n.o.Database,
		ForceSingleClient: !n.o.Cluster,
		DisableCache:      true, AlwaysRESP2: true, // what every server speaks
		DisableRetry:     true, // the tier's
		ConnWriteTimeout: n.o.RequestTimeout,
		BlockingPoolSize: n.o.Connections,
		ClientName:       "lmcache",
		DialCtxFn:        n.reach,
	}
	o.Dialer.Timeout = n.o.ConnectTimeout
	if n.o.TLS != nil {
		o.TLSConfig = n.o.TLS.Clone()
		o.TLSConfig.MinVersion = max(o.TLSConfig.MinVersion, tls.VersionTLS12)
	}
	c, err := rueidis.NewClient(o)
	switch {
	case err == nil:
		return c, nil
	case said(err):
		return nil, answer(err) // a wrong password, for example
	default:
		return nil, outside(n.life, err)
	}
}

// reach opens a connection. That of a client that is being made ends with the adapter:
// such a client does not hear of it otherwise.
func (n *connector) reach(ctx context.Context, addr string, d *net.Dialer, cfg *tls.Config) (c net.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, n.o.ConnectTimeout)
	defer cancel()
	defer context.AfterFunc(n.life, cancel)()
	if cfg != nil {
		c, err = (&tls.Dialer{NetDialer: d, Config: cfg}).DialContext(ctx, "tcp", addr)
	} else {
		c, err = d.DialContext(ctx, "tcp", addr)
	}
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if a := n.mu.attempt; a != nil {
		a.forget = append(a.forget, context.AfterFunc(n.life, func() { _ = c.Close() })) // its reader hears of it
	}
	return c, nil
}

// failed gives up a client whose connection failed, so that the next call looks for
// another server. A cluster's client does that itself.
func (n *connector) failed(c rueidis.Client, err error) {
	if !n.choice() || !l2.Unreachable(err) {
		return
	}
	n.mu.Lock()
	lost := n.mu.client == c
	if lost {
		n.mu.client, n.mu.server = nil, server{}
	}
	n.mu.Unlock()
	if lost {
		c.Close()
	}
}

// patience is how long it takes until a master is looked for again.
const patience = 5 * time.Second

// demoted looks for another server when the one in use refuses to write, because it is a
// replica. Meanwhile, and as long as there is no master, that one serves loads.
func (n *connector) demoted(c rueidis.Client) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.client != c || n.mu.closed {
		return
	}
	n.mu.server.replica = true
	if n.mu.attempt == nil && time.Since(n.mu.searched) > patience {
		n.mu.searched = time.Now()
		n.beginLocked(n.mu.addr)
	}
}

// accepted notes that a server writes.
func (n *connector) accepted(c rueidis.Client) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.client == c {
		n.mu.server.replica = false
	}
}

// choice reports whether there are several servers of which one is used.
func (n *connector) choice() bool { return !n.o.Cluster && len(n.o.Addrs) > 1 }

// close ends the client, or the attempt to make one, and waits for it.
func (n *connector) close() {
	n.mu.Lock()
	n.mu.closed = true
	c, a := n.mu.client, n.mu.attempt
	n.mu.client = nil
	n.mu.Unlock()
	if c != nil {
		c.Close()
	}
	n.cancel()
	if a != nil {
		<-a.over
	}
}

func (n *connector) describe() (addr string, s server) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.addr, n.mu.server
}

// ask asks a server what it is: what it does when it is full, and whether it only copies
// another one. What it does not say stays unknown.
func (n *connector) ask(c rueidis.Client) (s server) {
	ctx, cancel := context.WithTimeout(n.life, n.o.RequestTimeout)
	defer cancel()
	for _, section := range []string{"memory", "replication"} { // two commands: servers before Redis 7 take one section
		info, err := c.Do(ctx, c.B().Info().Section(section).Build()).ToString()
		if err != nil {
			continue
		}
		for line := range strings.Lines(info) {
			switch name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name {
			case "maxmemory_policy":
				s.policy = value
			case "role":
				s.replica = value == "slave" || value == "replica"
			}
		}
	}
	return s
}
