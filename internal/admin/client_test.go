package admin

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/storage/kv"
)

func client(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// answering is a server that always answers the same, and what it was asked.
func answering(t *testing.T, code int, body string) (s *httptest.Server, asked *[]string) {
	t.Helper()
	asked = new([]string)
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		*asked = append(*asked, strings.TrimSpace(r.Method+" "+r.RequestURI+" "+string(data)))
		w.Header().Set("Warning", `199 lmcache "mind the gap"`)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s, asked
}

// Each call asks what its route needs; salts are escaped, dots and percent signs too.
func TestCalls(t *testing.T) {
	leak.Check(t)
	k, err := kv.ParseKey("m@01000100@0@00ff10")
	if err != nil {
		t.Fatal(err)
	}
	key, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for want, call := range map[string]func(*Client) error{
		"GET /healthcheck":                             func(c *Client) error { return c.Ping(ctx, "/healthcheck") },
		"POST /cache/clear":                            func(c *Client) error { return c.Clear(ctx, false) },
		`POST /cache/clear {"force":true,"tier":"l1"}`: func(c *Client) error { return c.Clear(ctx, true) },
		"GET /quota":                                   func(c *Client) error { _, err := c.Quotas(ctx); return err },
		"GET /quota/%2E%2E":                            func(c *Client) error { _, err := c.Quota(ctx, ".."); return err },
		"DELETE /quota/a%20b%25%3F%23%2Fc":             func(c *Client) error { _, err := c.DeleteQuota(ctx, "a b%?#/c"); return err },
		`PUT /quota/u1 {"limit_gb":1.5}`:               func(c *Client) error { _, _, err := c.SetQuota(ctx, "u1", 1.5); return err },
		"GET /cache/objects":                           func(c *Client) error { _, err := c.Objects(ctx, Listing{}); return err },
		"GET /cache/objects?adapter=fs%231&model_name=m%2F1&page_size=7&page_token=a%2Fb&tier=l2": func(c *Client) error {
			_, err := c.Objects(ctx, Listing{Tier: "l2", Adapter: "fs#1", Model: "m/1", Size: 7, Token: "a/b"})
			return err
		},
		`DELETE /cache/objects {"keys":[]}`: func(c *Client) error { _, err := c.Delete(ctx, Deletion{}); return err },
		`DELETE /cache/objects {"keys":[` + string(key) + `],"tier":"all","force":true,"adapter":"fs"}`: func(c *Client) error {
			_, err := c.Delete(ctx, Deletion{Keys: []kv.Key{k}, Tier: "all", Force: true, Adapter: "fs"})
			return err
		},
	} {
		s, asked := answering(t, http.StatusOK, "{}")
		if err := call(client(t, Options{URL: s.URL})); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if diff := cmp.Diff([]string{want}, *asked); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	s, _ := answering(t, http.StatusOK, `{"cache_salt":"u1"}`)
	if _, warning, err := client(t, Options{URL: s.URL}).SetQuota(ctx, "u1", 1); err != nil || warning != "mind the gap" {
		t.Errorf("warning %q, %v", warning, err)
	}
}

// Errors name the URL and why, in whatever shape the server tells it.
func TestErrors(t *testing.T) {
	for body, want := range map[string]string{
		`{"detail":"no"}`: ": no", `{"error":"not so"}`: ": not so", `{"status":"unhealthy","reason":"closed"}`: ": closed",
		`{"detail":[{"type":"x","loc":["body","keys",0],"msg":"is bad"},{"loc":["query"],"msg":"too"}]}`: ": body.keys.0 is bad; query too",
		"<html>": "", "": "", `{"detail":{"a":1}}`: "", "[]": "",
	} {
		s, _ := answering(t, http.StatusServiceUnavailable, body)
		_, err := client(t, Options{URL: s.URL}).Quotas(t.Context())
		if e, ok := errors.AsType[*StatusError](err); !ok || e.Error() != s.URL+"/quota answered 503 Service Unavailable"+want {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, body := range []string{"", "<html>", `{"users":[]}`, strings.Repeat(" ", maxAnswer+1)} {
		s, _ := answering(t, http.StatusOK, body)
		_, err := client(t, Options{URL: s.URL}).Quotas(t.Context())
		if e, ok := errors.AsType[*AnswerError](err); !ok || !strings.HasPrefix(e.Error(), s.URL+"/quota answered something else: ") {
			t.Errorf("%.20s: %v", body, err)
		}
	}
}

// Without an answer the error says why not, and whoever ends the call is told so.
func TestNoAnswer(t *testing.T) {
	dead, _ := answering(t, http.StatusOK, "")
	dead.Close()
	err := client(t, Options{URL: dead.URL}).Ping(t.Context(), "/healthcheck")
	if !errors.Is(err, syscall.ECONNREFUSED) || err.Error() != "Cannot connect to "+dead.URL+"/healthcheck: connection refused" {
		t.Errorf("refused: %v", err)
	}
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hang.Close()
	err = client(t, Options{URL: hang.URL, Timeout: 20 * time.Millisecond}).Ping(t.Context(), "/x")
	if err == nil || err.Error() != "Cannot connect to "+hang.URL+"/x: no answer within 20ms" {
		t.Errorf("hanging: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if err := client(t, Options{URL: hang.URL}).Ping(ctx, "/x"); !errors.Is(err, why) {
		t.Errorf("ended: %v", err)
	}
}

// The token goes to the server and nowhere else.
func TestToken(t *testing.T) {
	var elsewhere []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		elsewhere = append(elsewhere, r.Header.Get("Authorization"))
	}))
	defer other.Close()
	var got string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	err := client(t, Options{URL: s.URL, Token: "a secret"}).Clear(t.Context(), false)
	if e, ok := errors.AsType[*StatusError](err); !ok || e.Code != http.StatusTemporaryRedirect || got != "Bearer a secret" || elsewhere != nil {
		t.Errorf("%v, %q, elsewhere %q", err, got, elsewhere)
	}
}

// A certificate that nobody vouches for is refused, unless its file is given, or any is
// believed.
func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	defer s.Close()
	s.Config.ErrorLog = nil
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := client(t, Options{URL: s.URL}).Ping(t.Context(), "/"); err == nil || !strings.Contains(err.Error(), "--ca-file") {
		t.Errorf("unknown: %v", err)
	}
	for _, o := range []Options{{URL: s.URL, CAFile: ca}, {URL: s.URL, Insecure: true}} {
		if err := client(t, o).Ping(t.Context(), "/"); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	for _, path := range []string{ca + "x", "/dev/null"} {
		if _, err := New(Options{CAFile: path}); err == nil {
			t.Errorf("%s is taken for certificates", path)
		}
	}
}

func TestMetricsPage(t *testing.T) {
	for base, want := range map[string]string{
		"http://localhost:8080": "http://localhost:9090/metrics", "https://h/x": "http://h:9090/metrics", "http://[::1]:1": "http://[::1]:9090/metrics",
	} {
		if got := MetricsPage(base, "9090"); got != want {
			t.Errorf("%s: %s, want %s", base, got, want)
		}
	}
}
