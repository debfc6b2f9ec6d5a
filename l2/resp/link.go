package resp

import (
	"context"
	"crypto/tls"
	"net"
	"strings"

	"github.com/redis/rueidis"
)

// link is a client of a server, or of a cluster.
type link struct {
	rueidis.Client
	addr   string
	cancel context.CancelFunc // ends its connections

	// Guarded by the mutex of the connector.
	server  server
	users   int  // calls that it is lent to
	retired bool // it is closed when the last one is over
}

// server is what a server says of itself; the zero value: nothing.
type server struct {
	policy  string // maxmemory-policy
	role    string // "master", and "slave" or "replica"
	loading bool   // it reads its own file, and answers nothing else
	refuses bool   // to write
}

// rank is how much use a server is: one that writes before one that serves loads, and
// that before one that does not yet.
func (s *server) rank() int {
	switch {
	case s.loading:
		return 0
	case s.refuses:
		return 1
	default:
		return writes
	}
}

// writes is the best rank.
const writes = 2

// dial connects. What it opens ends with the search, and from then on with the link.
func (n *connector) dial(search context.Context, addrs []string) (*link, error) {
	ctx, cancel := context.WithCancel(n.life)
	unbind := context.AfterFunc(search, cancel)
	l := &link{addr: addrs[0], cancel: cancel}
	o := rueidis.ClientOption{
		InitAddress: addrs, Username: n.o.Username, Password: n.o.Password, SelectDB: n.o.Database,
		ForceSingleClient: !n.o.Cluster,
		DisableCache:      true, AlwaysRESP2: true, // what every server speaks
		DisableRetry:     true, // the tier's
		ConnWriteTimeout: n.o.RequestTimeout,
		BlockingPoolSize: n.o.Connections,
		ClientName:       "lmcache",
		DialCtxFn: func(dial context.Context, addr string, d *net.Dialer, cfg *tls.Config) (net.Conn, error) {
			dial, stop := context.WithTimeout(dial, n.o.ConnectTimeout)
			defer stop()
			defer context.AfterFunc(ctx, stop)()
			return reach(ctx, dial, addr, d, cfg)
		},
	}
	o.Dialer.Timeout = n.o.ConnectTimeout
	if n.o.TLS != nil {
		o.TLSConfig = n.o.TLS.Clone()
		o.TLSConfig.MinVersion = max(o.TLSConfig.MinVersion, tls.VersionTLS12)
	}
	var err error
	l.Client, err = rueidis.NewClient(o)
	switch {
	case err == nil:
		l.server = n.ask(ctx, l)
	case said(err):
		err = answer(err) // a wrong password, for example
	default:
		err = outside(ctx, err)
	}
	if !unbind() && err == nil {
		l.close()
		err = outside(ctx, context.Canceled)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return l, nil
}

// close ends the client, and all its connections first: the client would wait for those
// of a silent server.
func (l *link) close() {
	l.cancel()
	l.Close()
}

// reach opens a connection, which ends with life: a client that is being made, or that
// connects again while it is closed, does not hear of it otherwise.
func reach(life, dial context.Context, addr string, d *net.Dialer, cfg *tls.Config) (net.Conn, error) {
	var c net.Conn
	var err error
	if cfg != nil {
		c, err = (&tls.Dialer{NetDialer: d, Config: cfg}).DialContext(dial, "tcp", addr)
	} else {
		c, err = d.DialContext(dial, "tcp", addr)
	}
	if err != nil {
		return nil, err
	}
	return &bound{Conn: c, unbind: context.AfterFunc(life, func() { _ = c.Close() })}, nil
}

// bound is a connection that a context ends.
type bound struct {
	net.Conn
	unbind func() bool
}

func (b *bound) Close() error {
	b.unbind()
	return b.Conn.Close()
}

// ask asks a server what it is. What it does not say stays unknown.
func (n *connector) ask(ctx context.Context, c rueidis.Client) (s server) {
	ctx, cancel := context.WithTimeout(ctx, n.o.RequestTimeout)
	defer cancel()
	for _, section := range []string{"memory", "replication", "persistence"} { // servers before Redis 7 take one section
		info, err := c.Do(ctx, c.B().Info().Section(section).Build()).ToString()
		if err != nil {
			continue
		}
		for line := range strings.Lines(info) {
			switch name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name {
			case "maxmemory_policy":
				s.policy = value
			case "role":
				s.role = value
				s.refuses = value == "slave" || value == "replica"
			case "loading":
				s.loading = value == "1"
			}
		}
	}
	return s
}
