package httpserver

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

const secret = "correct horse battery staple"

var loopback = netip.MustParseAddr("127.0.0.1")

// recorded is a request to a handler, and what will take its answer.
func recorded(method, path string, body []byte) (*http.Request, *httptest.ResponseRecorder) {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Host = "127.0.0.1"
	return r, httptest.NewRecorder()
}

// REQ-W40: who may do what: listener, token, credential, origin and host.
func TestREQ_W40_Matrix(t *testing.T) {
	const (
		page      = iota // what everybody may see
		probe            // what probes ask
		change           // what administrators do
		kinds            //
		all       = 0b111
		noAdmin   = 1<<page | 1<<probe
		onlyProbe = 1 << probe
	)
	routes := [kinds]string{"GET /quota", "GET /livez", "POST /cache/clear"}
	listeners := map[string]netip.Addr{"loopback": loopback, "other": netip.MustParseAddr("10.1.2.3")}
	type listener struct {
		token, authAll, insecure bool
	}
	// credentials: none, right, wrong; pages: no, of another origin, under another name
	for _, c := range []struct {
		name string
		listener
		at                 string
		cred, from         string
		allowed, forbidden int // bits by kind of route; the rest is 401
	}{
		{"loopback", listener{}, "loopback", "", "", all, 0},
		{"loopback, a credential that nobody asked for", listener{}, "loopback", "right", "", all, 0},
		{"loopback, page", listener{}, "loopback", "", "origin", 0, all},
		{"loopback, rebinding", listener{}, "loopback", "", "host", 0, all},
		{"loopback, link", listener{}, "loopback", "", "link", noAdmin, 1 << change},
		{"other", listener{}, "other", "", "", noAdmin, 1 << change},
		{"other, page", listener{}, "other", "", "origin", 0, all},
		{"other, rebinding", listener{}, "other", "", "host", 0, all},
		{"other, insecure", listener{insecure: true}, "other", "", "", all, 0},
		{"other, insecure, page", listener{insecure: true}, "other", "", "origin", 0, all},
		{"other, insecure, link", listener{insecure: true}, "other", "", "link", noAdmin, 1 << change},
		{"loopback, token", listener{token: true}, "loopback", "", "", noAdmin, 0},
		{"loopback, token, right", listener{token: true}, "loopback", "right", "", all, 0},
		{"loopback, token, wrong", listener{token: true}, "loopback", "wrong", "", noAdmin, 0},
		{"loopback, token, page", listener{token: true}, "loopback", "", "origin", 0, all},
		{"loopback, token, wrong, page", listener{token: true}, "loopback", "wrong", "origin", 0, all},
		{"loopback, token, right, another name", listener{token: true}, "loopback", "right", "host", all, 0},
		{"loopback, token, right, page", listener{token: true}, "loopback", "right", "origin", all, 0},
		{"other, token", listener{token: true}, "other", "", "", noAdmin, 0},
		{"other, token, right", listener{token: true}, "other", "right", "", all, 0},
		{"other, token, wrong", listener{token: true}, "other", "wrong", "", noAdmin, 0},
		{"other, token, insecure", listener{token: true, insecure: true}, "other", "", "", noAdmin, 0},
		{"auth all", listener{token: true, authAll: true}, "other", "", "", onlyProbe, 0},
		{"auth all, wrong", listener{token: true, authAll: true}, "loopback", "wrong", "", onlyProbe, 0},
		{"auth all, right", listener{token: true, authAll: true}, "other", "right", "", all, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			bound := listeners[c.at]
			s := &Server{o: Options{Engine: &fakeEngine{}, Cache: &fakeCache{}, AuthAll: c.authAll, InsecureAdmin: c.insecure}.withDefaults()}
			s.guard.bound = bound
			if c.token {
				s.token.set(secret)
			}
			h := s.handler()
			for kind, route := range routes {
				method, path, _ := strings.Cut(route, " ")
				r, w := recorded(method, path, nil)
				r.Host = bound.String()
				switch c.cred {
				case "right":
					r.Header.Set("Authorization", "Bearer "+secret)
				case "wrong":
					r.Header.Set("Authorization", "Bearer "+secret[1:])
				}
				switch c.from {
				case "origin":
					r.Header.Set("Origin", "http://evil.example")
				case "host":
					r.Host = "cache.example"
				case "link":
					r.Header.Set("Sec-Fetch-Site", "cross-site")
				}
				h.ServeHTTP(w, r)
				want := http.StatusUnauthorized
				switch bit := 1 << kind; {
				case c.allowed&bit != 0:
					want = http.StatusOK
				case c.forbidden&bit != 0:
					want = http.StatusForbidden
				}
				if w.Code != want {
					t.Errorf("%s: %d %s, want %d", route, w.Code, w.Body, want)
				}
				if challenge := w.Header().Get("WWW-Authenticate"); (challenge != "") != (want == http.StatusUnauthorized) ||
					strings.Contains(challenge, "invalid_token") != (want == http.StatusUnauthorized && c.cred == "wrong") {
					t.Errorf("%s: challenge %q", route, challenge)
				}
				if strings.Contains(w.Body.String(), secret) || strings.Contains(w.Body.String(), secret[1:]) {
					t.Errorf("%s: the answer holds the token: %s", route, w.Body)
				}
			}
		})
	}
}

// Every route that changes something is for administrators.
func TestREQ_W40_AdminRoutes(t *testing.T) {
	var level slog.LevelVar
	cache := &fakeCache{}
	s := open(t, Options{Cache: cache, Level: &level, AdminToken: secret})
	for _, route := range []string{
		"POST /cache/clear", "DELETE /cache/objects", "PUT /quota/u1", "DELETE /quota/u1", "GET /loglevel?level=DEBUG",
		"POST /clear-cache", "POST /api/clear-cache", "POST /l2/keys:evict",
	} {
		method, path, _ := strings.Cut(route, " ")
		if res, body := send(t, s, method, path, `{"keys":[],"limit_gb":1}`, nil); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without the token: %d %s", route, res.StatusCode, body)
		}
		header := http.Header{"Authorization": {"bearer  " + secret}}
		if res, body := send(t, s, method, path, `{"keys":[],"limit_gb":1}`, header); res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
			t.Errorf("%s with the token: %d %s", route, res.StatusCode, body)
		}
	}
	if len(cache.asked) != 5 || level.Level() != slog.LevelDebug {
		t.Errorf("what got through: %v, level %v", cache.asked, level.Level())
	}
}

// What looks like the token and is not.
func TestCredentials(t *testing.T) {
	var none, tok token
	tok.set(secret)
	for header, want := range map[string]credential{
		"": absent, "Bearer " + secret: right, "bearer " + secret: right, "Bearer  " + secret + " ": right, "Bearer": wrong,
		"Basic " + secret: wrong, secret: wrong, "Bearer " + secret + "x": wrong, "Bearer " + secret + "," + secret: wrong,
	} {
		r, _ := recorded("GET", "/", nil)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		if got := tok.of(r); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
		if got := none.of(r); got != notAsked {
			t.Errorf("%q without a token: %v", header, got)
		}
	}
	r, _ := recorded("GET", "/", nil)
	r.Header["Authorization"] = []string{"Bearer " + secret, "Bearer " + secret}
	if got := tok.of(r); got != wrong {
		t.Errorf("two: %v", got)
	}
}

// The token can be replaced while the server runs, not taken away.
func TestSetAdminToken(t *testing.T) {
	s := open(t, Options{Cache: &fakeCache{}, AdminToken: secret})
	const next = "another secret of some length"
	if err := s.SetAdminToken(""); !errors.Is(err, errShortToken) {
		t.Errorf("no token: %v", err)
	}
	if err := s.SetAdminToken(next); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{secret: 401, next: 200} {
		if res, _ := send(t, s, "POST", "/cache/clear", "", http.Header{"Authorization": {"Bearer " + text}}); res.StatusCode != want {
			t.Errorf("%s: %d, want %d", text, res.StatusCode, want)
		}
	}
	if err := open(t, Options{}).SetAdminToken(next); !errors.Is(err, errNoToken) {
		t.Errorf("where there was none: %v", err)
	}
}

// All that is wrong with the options is told at once.
func TestOptionsOfToken(t *testing.T) {
	_, err := Listen(t.Context(), Options{AdminToken: "short", AuthAll: true, InsecureAdmin: true})
	for _, want := range []error{errNoEngine, errShortToken, errOpenAuth} {
		if !errors.Is(err, want) {
			t.Errorf("%v lacks %v", err, want)
		}
	}
	if _, err := Listen(t.Context(), Options{Engine: &fakeEngine{}, AuthAll: true}); !errors.Is(err, errNoToken) {
		t.Error(err)
	}
}

// An address that others reach says at the start who may change something.
func TestStartWarnings(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"loopback", Options{}, ""},
		{"open, no token", Options{Addr: "0.0.0.0:0"}, "changes of the cache and of the log level are refused"},
		{"open, insecure", Options{Addr: "0.0.0.0:0", InsecureAdmin: true}, "whoever reaches"},
		{"open, token", Options{Addr: "0.0.0.0:0", AdminToken: secret}, ""},
	} {
		var log bytes.Buffer
		c.o.Cache, c.o.Logger = &fakeCache{}, slog.New(slog.NewTextHandler(&lockedWriter{w: &log}, nil))
		open(t, c.o)
		if got := strings.Contains(log.String(), "level=WARN"); got != (c.want != "") || !strings.Contains(log.String(), c.want) || strings.Contains(log.String(), secret) {
			t.Errorf("%s: %s", c.name, log.String())
		}
	}
}
