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
		client  rueidis.Client // nil: not connected
		addr    string
		server  server
		since   time.Time // of the last attempt
		attempt *attempt  // nil: nobody connects
		closed  bool
	}
}

// server is what a server says of itself; the zero value: nothing.
type server struct {
	policy  string // maxmemory-policy
	replica bool
}

// attempt is one try to connect. Its outcome is there once done is closed.
type attempt struct {
	done   chan struct{}
	client rueidis.Client
	err    error
	forget []func() bool // of its connections, which the end of the adapter does not end any more
}

func newConnector(o Options) *connector {
	n := &connector{o: o}
	n.life, n.cancel = context.WithCancel(context.Background()) //nolint:forbidigo // the root of all attempts, ended by close
	return n
}

// get returns a client, or waits for one as long as ctx allows. One attempt at a time
// is for all.
func (n *connector) get(ctx context.Context) (rueidis.Client, error) {
	n.mu.Lock()
	if c := n.mu.client; c != nil || n.mu.closed {
		closed := n.mu.closed
		n.mu.Unlock()
		if closed {
			return nil, l2.ErrClosed
		}
		return c, nil
	}
	a := n.mu.attempt
	if a == nil {
		a = &attempt{done: make(chan struct{})}
		n.mu.attempt = a
		go n.connect(a)
	}
	n.mu.Unlock()
	select {
	case <-a.done:
		return a.client, a.err
	case <-ctx.Done():
		return nil, outside(ctx, fmt.Errorf("no connection yet: %w", ctx.Err()))
	}
}

// connect tries the servers in order, and takes a replica only if it finds no master.
func (n *connector) connect(a *attempt) {
	addrs := [][]string{n.o.Addrs}
	if !n.o.Cluster {
		addrs = nil
		for _, a := range n.o.Addrs {
			addrs = append(addrs, []string{a})
		}
	}
	var errs []error
	var addr string
	var of server
	for _, to := range addrs {
		c, err := n.dial(to)
		if err != nil {
			errs = append(errs, at(to, err))
			continue
		}
		s := n.ask(c)
		if s.replica && a.client != nil {
			c.Close()
			continue
		}
		if a.client != nil {
			a.client.Close()
		}
		a.client, addr, of = c, to[0], s
		if !s.replica || n.o.Cluster {
			break
		}
	}
	if a.client == nil {
		a.err = errors.Join(errs...)
	}
	if out := n.end(a, addr, of); out != nil {
		out.Close() // without the mutex, which its connections may ask for
	}
	close(a.done)
}

// end puts the outcome of an attempt in place, and returns a client that is not used any
// more.
func (n *connector) end(a *attempt, addr string, of server) (out rueidis.Client) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.attempt, n.mu.since = nil, time.Now()
	for _, f := range a.forget {
		f()
	}
	old := n.mu.client // a replica that serves meanwhile
	switch {
	case a.client == nil:
		return nil
	case n.mu.closed:
		out, a.client, a.err = a.client, nil, l2.ErrClosed
		return out
	case old != nil && of.replica:
		out, a.client = a.client, old
		return out
	default:
		n.mu.client, n.mu.addr, n.mu.server = a.client, addr, of
		return old
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
		n.mu.client = nil
	}
	n.mu.Unlock()
	if lost {
		c.Close()
	}
}

// patience is how long a replica is kept before a master is looked for again.
const patience = 5 * time.Second

// demoted looks for another server when the one in use refuses to store, because it is a
// replica. Meanwhile, and as long as there is no master, that one serves loads.
func (n *connector) demoted(c rueidis.Client) {
	if !n.choice() {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.client != c || n.mu.closed || n.mu.attempt != nil || n.mu.server.replica && time.Since(n.mu.since) < patience {
		return
	}
	n.mu.server.replica = true
	n.mu.attempt = &attempt{done: make(chan struct{})}
	go n.connect(n.mu.attempt)
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
		<-a.done
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
				s.replica = value == "slave"
			}
		}
	}
	return s
}
