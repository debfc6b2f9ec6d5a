package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lmcache-go/lmcache/internal/serving"
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
	life    *serving.Server
	guard   guard
	token   token
	noted   notedQuotas
	closing atomic.Bool
	pair    *certificate // nil: without TLS
}

// Listen binds the address and serves until Close. ctx is for binding only.
func Listen(ctx context.Context, o Options) (*Server, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	var pair *certificate
	var secure *tls.Config
	if o.TLSCert != "" {
		var err error
		if pair, err = openCertificate(o.TLSCert, o.TLSKey, o.Logger); err != nil {
			return nil, err
		}
		secure = pair.config()
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, bindError(o.Addr, err)
	}
	s := &Server{o: o, guard: newGuard(o.Addr, ln.Addr(), o.AllowedHosts), pair: pair}
	s.token.set(o.AdminToken)
	host, _, _ := net.SplitHostPort(o.Addr) // it could be listened on
	s.life = serving.New("httpserver", &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, WriteTimeout: writeTimeout,
		MaxHeaderBytes: maxHeaderBytes, TLSConfig: secure, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}, newLimit(ln, maxConnections), host)
	s.life.Start()
	o.Logger.InfoContext(ctx, "HTTP server listening on "+s.URL(), slog.String("url", s.URL()))
	s.warn(ctx)
	return s, nil
}

// warn tells who may change something, where that may surprise.
func (s *Server) warn(ctx context.Context) {
	if s.guard.bound.IsLoopback() || s.o.AdminToken != "" || s.o.Level == nil && s.o.Cache == nil {
		return
	}
	if s.o.InsecureAdmin {
		s.o.Logger.WarnContext(ctx, "HTTP: whoever reaches "+s.URL()+" may change the cache and the log level, without a token")
		return
	}
	s.o.Logger.WarnContext(ctx, "HTTP: changes of the cache and of the log level are refused, because "+s.URL()+
		" is not a loopback address and there is no token (--admin-token-file)")
}

// SetAdminToken replaces Options.AdminToken where there was one, as when its file has
// changed. It is refused if it is too short.
func (s *Server) SetAdminToken(text string) error {
	if s.o.AdminToken == "" {
		return errNoToken
	}
	if len(text) < MinToken {
		return errShortToken
	}
	s.token.set(text)
	return nil
}

// ReloadCertificate reads the files of Options.TLSCert and TLSKey again, which happens by
// itself when they have changed. What cannot be read leaves the certificate as it was.
func (s *Server) ReloadCertificate() error {
	if s.pair == nil {
		return nil
	}
	return s.pair.reload()
}

// bindError names the address and says what to do about it.
func bindError(addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("httpserver: cannot listen on %s: the port is in use: stop what listens there, or choose another port (0: any free one): %w", addr, err)
	}
	return fmt.Errorf("httpserver: cannot listen on %s: %w", addr, err)
}

// Addr is the address that was bound.
func (s *Server) Addr() net.Addr { return s.life.Addr() }

// URL is the address as clients spell it, with the real port. A listener on all
// addresses shows the one it was asked for.
func (s *Server) URL() string { return s.life.URL() }

// Close stops listening, waits for requests in progress until ctx ends, cuts off
// what is left then, and returns when the goroutine is gone. It is idempotent.
func (s *Server) Close(ctx context.Context) error {
	s.closing.Store(true)
	return s.life.Close(ctx)
}
