package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/lmcache-go/lmcache/internal/serving"
)

// Limits of the listener for scrapers.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 120 * time.Second
	writeTimeout   = 30 * time.Second
	maxHeaderBytes = 64 << 10
)

// What Listen gives after Shutdown, where metrics are off, and where a host serves them.
var (
	errClosed = errors.New("export: closed")
	errOff    = errors.New("export: metrics are off")
	errNoView = errors.New("export: the registerer cannot be gathered from: its owner serves its metrics")
)

// Server serves /metrics on a port of its own.
type Server struct{ life *serving.Server }

// Listen serves the handler under /metrics on host and port; port 0 is any free
// one. ctx is for binding only. The Server belongs to m, whose Shutdown closes it.
func (m *Metrics) Listen(ctx context.Context, host string, port int) (*Server, error) {
	if m == nil {
		return nil, errOff
	}
	if m.handler == nil {
		return nil, errNoView
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return nil, errClosed
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, bindError(host, port, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.handler)
	s := &Server{serving.New("export", &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, WriteTimeout: writeTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
	}, ln, host)}
	s.life.Start()
	m.mu.servers = append(m.mu.servers, s)
	m.log.InfoContext(ctx, fmt.Sprintf("OTel MeterProvider initialised with Prometheus fallback (%s), resource=%s", s.URL(), m.Resource()),
		slog.String("url", s.URL()), slog.String("resource", m.Resource()))
	return s, nil
}

// bindError says which port it was and what to do about it.
func bindError(host string, port int, err error) error {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("export: cannot serve metrics on %s: port %d is in use: stop what listens there, or choose another port (0: any free one): %w",
			addr, port, err)
	}
	return fmt.Errorf("export: cannot serve metrics on %s: %w", addr, err)
}

// Addr is the address that was bound.
func (s *Server) Addr() net.Addr { return s.life.Addr() }

// URL is where to scrape, with the real port. A listener on all addresses shows the
// one it was asked for.
func (s *Server) URL() string { return s.life.URL() + "/metrics" }

// Close stops listening, waits for scrapes in progress until ctx ends, cuts off
// what is left then, and returns when the goroutine is gone. It is idempotent.
func (s *Server) Close(ctx context.Context) error { return s.life.Close(ctx) }
