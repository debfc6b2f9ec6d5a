package httpserver

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
)

// MinToken is the least number of bytes of an administrator's token.
const MinToken = 16

// Errors of what protects administrative routes.
var (
	errShortToken = errors.New("httpserver: AdminToken: must have at least 16 bytes")
	errNoToken    = errors.New("httpserver: AuthAll: needs an AdminToken")
	errOpenAuth   = errors.New("httpserver: AuthAll and InsecureAdmin exclude each other")
)

// credential is what a request shows of the administrator's token.
type credential int

const (
	notAsked credential = iota // the server has no token
	absent
	wrong
	right
)

// token is the administrator's token. Its zero value is none. It may change while
// requests run.
type token struct {
	sum atomic.Pointer[[sha256.Size]byte] // compared in place of the text: length and content take the same time
}

// set replaces the token; an empty one asks for none.
func (t *token) set(text string) {
	if text == "" {
		t.sum.Store(nil)
		return
	}
	sum := sha256.Sum256([]byte(text))
	t.sum.Store(&sum)
}

// of looks at the credential of a request.
func (t *token) of(r *http.Request) credential {
	want := t.sum.Load()
	if want == nil {
		return notAsked
	}
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return absent
	}
	scheme, text, _ := strings.Cut(headers[0], " ")
	got := sha256.Sum256([]byte(strings.TrimSpace(text)))
	if len(headers) == 1 && strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
		return right
	}
	return wrong
}

// unauthorized asks for the token.
func unauthorized(w http.ResponseWriter, r *http.Request, c credential) {
	challenge, why := `Bearer realm="lmcache"`, "the administrator's token is needed (Authorization: Bearer …)"
	if c == wrong {
		challenge, why = challenge+`, error="invalid_token"`, "the administrator's token is another one"
	}
	w.Header().Set("WWW-Authenticate", challenge)
	answer(w, r, http.StatusUnauthorized, detail{why})
}

// public are the paths that AuthAll leaves open, for probes.
var public = map[string]bool{"/livez": true, "/readyz": true, "/healthcheck": true, "/api/healthcheck": true}

// check refuses requests that were not meant for this listener, and with AuthAll those
// without the token. Who shows the token is no page in somebody's browser.
func (s *Server) check(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := s.token.of(r)
		if c != right {
			if ok, why := s.guard.allows(r); !ok {
				answer(w, r, http.StatusForbidden, detail{why})
				return
			}
			if s.o.AuthAll && !public[r.URL.Path] {
				unauthorized(w, r, c)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

// administers reports whether a request may change something; if not, it is answered.
func (s *Server) administers(w http.ResponseWriter, r *http.Request) bool {
	switch c := s.token.of(r); c {
	case right:
		return true
	case absent, wrong:
		unauthorized(w, r, c)
		return false
	}
	ok, why := s.guard.sameSite(r)
	if ok && !s.o.InsecureAdmin && !s.guard.bound.IsLoopback() {
		ok, why = false, "administrative routes are served on loopback addresses only, unless there is a token"
	}
	if !ok {
		answer(w, r, http.StatusForbidden, detail{why})
	}
	return ok
}

// admin keeps a handler for administrators.
func (s *Server) admin(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.administers(w, r) {
			h(w, r)
		}
	}
}
