package resp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache/l2"
)

// Options of an adapter. Addrs is required.
type Options struct {
	Addrs    []string // HOST:PORT of servers of which one is used, or of some nodes of a cluster
	Cluster  bool     // they are nodes of a cluster
	Username string
	Password string
	Database int         // of a single server
	TLS      *tls.Config // nil: plain text; the zero value verifies against the system's certificates

	Prefix string // of every name, which is then PREFIX@NAME; without "@"

	ConnectTimeout time.Duration // 0: 10 s
	RequestTimeout time.Duration // of one call; 0: 5 s
	Connections    int           // for values, per server; 0: 16
	Format         l2.Format
}

// Defaults of Options.
const (
	DefaultConnectTimeout = 10 * time.Second
	DefaultRequestTimeout = 5 * time.Second
	DefaultConnections    = 16
)

// MaxValue is the largest value that a server takes, in bytes.
const MaxValue = 512 << 20

func (o Options) withDefaults() Options {
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = DefaultConnectTimeout
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = DefaultRequestTimeout
	}
	if o.Connections == 0 {
		o.Connections = DefaultConnections
	}
	return o
}

// Validate reports everything that is wrong with o.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("resp: "+format, args...)) }
	if len(o.Addrs) == 0 {
		bad("Addrs: none given")
	}
	for _, a := range o.Addrs {
		host, port, err := net.SplitHostPort(a)
		if err != nil {
			bad("Addrs: %q is not HOST:PORT", a)
			continue
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			bad("Addrs: %q: port must be 1 to 65535", a)
		}
		if host == "" {
			bad("Addrs: %q has no host", a)
		}
	}
	if o.Username != "" && o.Password == "" {
		bad("Password: must be set, there is a Username")
	}
	if o.Database < 0 {
		bad("Database: %d is negative", o.Database)
	}
	if o.Cluster && o.Database != 0 {
		bad("Database: %d, but a cluster has only 0", o.Database)
	}
	if strings.Contains(o.Prefix, "@") {
		bad(`Prefix: %q contains "@"`, o.Prefix)
	}
	if o.ConnectTimeout < 0 {
		bad("ConnectTimeout: %v is negative", o.ConnectTimeout)
	}
	if o.RequestTimeout < 0 {
		bad("RequestTimeout: %v is negative", o.RequestTimeout)
	}
	if o.Connections < 0 {
		bad("Connections: %d is negative", o.Connections)
	}
	return errors.Join(errs...)
}
