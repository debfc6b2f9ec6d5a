package resp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/redis/rueidis"

	"github.com/lmcache-go/lmcache/l2"
)

// connector makes the client when it is needed, and another one after it was lost.
type connector struct {
	o    Options
	turn chan struct{} // has a value while somebody connects
	mu   struct {
		sync.Mutex
		client rueidis.Client // nil: not connected
		addr   string
		policy string // maxmemory-policy of the server; empty: not known
	}
}

func (n *connector) current() rueidis.Client {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.client
}

// get returns a client. One caller connects, for all.
func (n *connector) get(ctx context.Context) (rueidis.Client, error) {
	if c := n.current(); c != nil {
		return c, nil
	}
	select {
	case n.turn <- struct{}{}:
		defer func() { <-n.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c := n.current(); c != nil {
		return c, nil
	}
	addrs := [][]string{n.o.Addrs}
	if !n.o.Cluster {
		addrs = nil
		for _, a := range n.o.Addrs {
			addrs = append(addrs, []string{a})
		}
	}
	var errs []error
	for _, to := range addrs {
		c, err := n.dial(ctx, to)
		if err != nil {
			errs = append(errs, fmt.Errorf("resp: %s: %w", strings.Join(to, ","), err))
			continue
		}
		policy := maxmemoryPolicy(ctx, c)
		n.mu.Lock()
		n.mu.client, n.mu.addr, n.mu.policy = c, to[0], policy
		n.mu.Unlock()
		return c, nil
	}
	return nil, errors.Join(errs...)
}

func (n *connector) dial(ctx context.Context, addrs []string) (rueidis.Client, error) {
	o := rueidis.ClientOption{
		InitAddress: addrs, Username: n.o.Username, Password: n.o.Password, SelectDB: n.o.Database,
		ForceSingleClient: !n.o.Cluster,
		DisableCache:      true, AlwaysRESP2: true, // what every server speaks
		DisableRetry:     true, // the tier's
		ConnWriteTimeout: n.o.RequestTimeout,
		BlockingPoolSize: n.o.Connections,
		ClientName:       "lmcache",
		DialCtxFn: func(dialing context.Context, addr string, d *net.Dialer, cfg *tls.Config) (net.Conn, error) {
			// A client that is being made does not hear of its caller's end otherwise.
			dialing, cancel := context.WithTimeout(dialing, n.o.ConnectTimeout)
			defer cancel()
			if cfg != nil {
				return (&tls.Dialer{NetDialer: d, Config: cfg}).DialContext(dialing, "tcp", addr)
			}
			return d.DialContext(dialing, "tcp", addr)
		},
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
		return nil, outside(ctx, err)
	}
}

// failed gives up a client whose connection failed, so that the next call looks for
// another server. A cluster's client does that itself.
func (n *connector) failed(c rueidis.Client, err error) {
	if n.o.Cluster || len(n.o.Addrs) < 2 || !l2.Unreachable(err) {
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

func (n *connector) close() {
	n.mu.Lock()
	c := n.mu.client
	n.mu.client = nil
	n.mu.Unlock()
	if c != nil {
		c.Close()
	}
}

func (n *connector) describe() (addr, policy string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.addr, n.mu.policy
}

// maxmemoryPolicy asks what the server does when it is full; empty: it does not say.
func maxmemoryPolicy(ctx context.Context, c rueidis.Client) string {
	info, err := c.Do(ctx, c.B().Info().Section("memory").Build()).ToString()
	if err != nil {
		return ""
	}
	for line := range strings.Lines(info) {
		if policy, ok := strings.CutPrefix(line, "maxmemory_policy:"); ok {
			return strings.TrimSpace(policy)
		}
	}
	return ""
}
