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
)

// Limits of the listener for scrapers.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 120 * time.Second
	writeTimeout   = 30 * time.Second
	maxHeaderBytes = 64 << 10
)

// What Listen gives after Shutdown, and where metrics are off.
var (
	errClosed = errors.New("export: closed")
	errOff    = errors.New("export: metrics are off")
)

// Server serves /metrics on a port of its own.
type Server struct {
	srv  *http.Server
	host string // as asked for
	addr net.Addr
	done chan struct{}
	err  error // of serving; read after done
}

// Listen serves the handler under /metrics on host and port; port 0 is any free
// one. ctx is for binding only. The Server belongs to m, whose Shutdown closes it.
func (m *Metrics) Listen(ctx context.Context, host string, port int) (*Server, error) {
	if m == nil {
		return nil, errOff
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
	s := &Server{host: host, addr: ln.Addr(), done: make(chan struct{}), srv: &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, WriteTimeout: writeTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
	}}
	go s.serve(ln)
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

func (s *Server) serve(ln net.Listener) {
	defer close(s.done)
	if err := s.srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		s.err = fmt.Errorf("export: %w", err)
	}
}

// Addr is the address that was bound.
func (s *Server) Addr() net.Addr { return s.addr }

// URL is where to scrape, with the real port. A listener on all addresses shows the
// one it was asked for.
func (s *Server) URL() string {
	addr := s.addr.String()
	if tcp, ok := s.addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() && s.host != "" {
		addr = net.JoinHostPort(s.host, strconv.Itoa(tcp.Port))
	}
	return "http://" + addr + "/metrics"
}

// Close stops listening, waits for scrapes in progress until ctx ends, cuts off
// what is left then, and returns when the goroutine is gone. It is idempotent.
func (s *Server) Close(ctx context.Context) error {
	err := s.srv.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("export: close: %w", err), s.srv.Close())
	}
	<-s.done
	return errors.Join(err, s.err)
}
