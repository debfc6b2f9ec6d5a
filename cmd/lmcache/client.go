package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/lmcache-go/lmcache/internal/admin"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
)

// Ports that servers use unless told otherwise.
const (
	httpPort    = "8080"
	metricsPort = "9090"
)

// asking is what all commands have that ask a running server.
type asking struct {
	cli.Output

	metricsPort string // in place of 9090, for tests
}

// with calls f with a client for the server that the flags name. What goes wrong is
// explained.
func (a *asking) with(ctx context.Context, f *flags.Client, call func(*admin.Client) error) error {
	c, err := admin.New(admin.Options{
		URL: f.Base(), Timeout: f.Timeout.Duration(), Token: f.AdminToken(), CAFile: f.CAFile, Insecure: f.Insecure,
	})
	if err != nil {
		return err
	}
	defer c.Close()
	return a.explain(ctx, f.Base(), call(c))
}

// explain adds to an error what to do about it.
func (a *asking) explain(ctx context.Context, base string, err error) error {
	port := a.metricsPort
	if port == "" {
		port = metricsPort
	}
	if _, ok := errors.AsType[*admin.ConnectError](err); ok && errors.Is(err, syscall.ECONNREFUSED) {
		if u, parsed := url.Parse(base); parsed == nil && u.Port() != port && admin.ServesMetrics(ctx, admin.MetricsPage(base, port)) {
			return fmt.Errorf("%w (port %s answers, but that is the metrics port: see --http-port and --disable-http of the server)", err, port)
		}
		return fmt.Errorf("%w (is the server running, and is that its HTTP port?)", err)
	}
	status, ok := errors.AsType[*admin.StatusError](err)
	if !ok {
		return err
	}
	switch status.Code {
	case http.StatusUnauthorized:
		return fmt.Errorf("%w (--token-file or LMCACHE_ADMIN_TOKEN)", err)
	case http.StatusBadRequest:
		if status.Plain && strings.HasPrefix(base, "http://") {
			return fmt.Errorf("%w (does it speak TLS? Then the URL begins with https://)", err)
		}
	case http.StatusNotFound:
		if status.Plain && admin.ServesMetrics(ctx, base+"/metrics") { // a front end serves them too, and says in JSON what is not there
			return fmt.Errorf("%w (that is the metrics port: the HTTP port is %s unless --http-port of the server says otherwise)", err, httpPort)
		}
	}
	return err
}
