package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// Limits of the listener and of one request.
const (
	maxConnections = 256
	maxHeaderBytes = 64 << 10
	headerTimeout  = 10 * time.Second
	idleTimeout    = 120 * time.Second
	handlerTimeout = 30 * time.Second
	writeTimeout   = handlerTimeout + 10*time.Second // for a peer that reads slowly
)

// Server is the HTTP front end of one engine. Its methods are safe for concurrent
// use.
type Server struct {
	o       Options
	srv     *http.Server
	addr    net.Addr
	guard   guard
	closing atomic.Bool
	done    chan struct{}
	err     error // of serving; read after done
}

// Listen binds the address and serves until Close. ctx is for binding only.
func Listen(ctx context.Context, o Options) (*Server, error) {
	if o.Engine == nil {
		return nil, errNoEngine
	}
	o = o.withDefaults()
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, bindError(o.Addr, err)
	}
	s := &Server{o: o, addr: ln.Addr(), guard: newGuard(o.Addr, ln.Addr(), o.AllowedHosts), done: make(chan struct{})}
	s.srv = &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, WriteTimeout: writeTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	go s.serve(newLimit(ln, maxConnections))
	o.Logger.InfoContext(ctx, "HTTP server listening on "+s.URL(), slog.String("url", s.URL()))
	return s, nil
}

// bindError names the address and says what to do about it.
func bindError(addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("httpserver: cannot listen on %s: the port is in use: stop what listens there, or choose another port (0: any free one): %w", addr, err)
	}
	return fmt.Errorf("httpserver: cannot listen on %s: %w", addr, err)
}

func (s *Server) serve(ln net.Listener) {
	defer close(s.done)
	if err := s.srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		s.err = fmt.Errorf("httpserver: %w", err)
	}
}

// Addr is the address that was bound.
func (s *Server) Addr() net.Addr { return s.addr }

// URL is the address as clients spell it, with the real port. A listener on all
// addresses shows the one it was asked for.
func (s *Server) URL() string {
	addr := s.addr.String()
	host, _, err := net.SplitHostPort(s.o.Addr)
	if tcp, ok := s.addr.(*net.TCPAddr); ok && err == nil && host != "" && tcp.IP.IsUnspecified() {
		addr = net.JoinHostPort(host, strconv.Itoa(tcp.Port))
	}
	return "http://" + addr
}

// Close stops listening, waits for requests in progress until ctx ends, cuts off
// what is left then, and returns when the goroutine is gone. It is idempotent.
func (s *Server) Close(ctx context.Context) error {
	s.closing.Store(true)
	err := s.srv.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("httpserver: close: %w", err), s.srv.Close())
	}
	<-s.done
	return errors.Join(err, s.err)
}
