package serving

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
)

// Server serves from Start to Close. Its other methods are safe for concurrent use.
type Server struct {
	owner string
	srv   *http.Server
	ln    net.Listener
	host  string
	done  chan struct{}
	err   error // of serving; read after done
}

// New is a Server of srv on ln, which belongs to it from now on; with srv.TLSConfig it
// speaks TLS with the certificates of that. Host is the one
// that was asked for; owner precedes the texts of errors. Start must follow. Where srv
// has no ReadTimeout, its WriteTimeout is the one: a request whose body does not arrive
// would hold its connection for ever.
func New(owner string, srv *http.Server, ln net.Listener, host string) *Server {
	if srv.ReadTimeout == 0 {
		srv.ReadTimeout = srv.WriteTimeout
	}
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true) // whose limits are those of the caller
	return &Server{owner: owner, srv: srv, ln: ln, host: host, done: make(chan struct{})}
}

// Start begins to accept. It is called once, when whatever the handlers use is in
// place.
func (s *Server) Start() { go s.serve() }

func (s *Server) serve() {
	defer close(s.done)
	serve := func() error { return s.srv.Serve(s.ln) }
	if s.srv.TLSConfig != nil {
		serve = func() error { return s.srv.ServeTLS(s.ln, "", "") }
	}
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
		s.err = fmt.Errorf("%s: %w", s.owner, err)
	}
}

// Addr is the address that was bound.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// URL is the server's root as clients spell it, with the real port and no slash
// behind. A listener on all addresses shows the one it was asked for.
func (s *Server) URL() string {
	scheme, addr := "http://", s.ln.Addr()
	if s.srv.TLSConfig != nil {
		scheme = "https://"
	}
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() && s.host != "" {
		return scheme + net.JoinHostPort(s.host, strconv.Itoa(tcp.Port))
	}
	return scheme + addr.String()
}

// Close stops listening, waits for requests in progress until ctx ends, cuts off
// what is left then, and returns when the goroutine is gone. It is idempotent.
func (s *Server) Close(ctx context.Context) error {
	err := s.srv.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("%s: close: %w", s.owner, err), s.srv.Close())
	}
	<-s.done
	return errors.Join(err, s.err)
}
