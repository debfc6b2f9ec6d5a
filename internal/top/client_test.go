package top_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/top"
)

func TestParseURL(t *testing.T) {
	for in, want := range map[string]string{
		"localhost:9090":               "http://localhost:9090/metrics",
		"cache-7":                      "http://cache-7/metrics",
		" http://a:1/ ":                "http://a:1/metrics",
		"https://a/prefix/metrics?x=1": "https://a/prefix/metrics?x=1",
		"[::1]:9090":                   "http://[::1]:9090/metrics",
		top.DefaultURL:                 top.DefaultURL,
		"ftp://a":                      "",
		"":                             "",
		":9090":                        "",
		"http://":                      "",
		"a b":                          "",
	} {
		got, err := top.ParseURL(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestClient(t *testing.T) {
	leak.Check(t)
	block := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		if a := r.Header.Get("Accept"); !strings.Contains(a, "text/plain;version=0.0.4") || !strings.Contains(a, "encoding=delimited") {
			t.Errorf("Accept: %q", r.Header.Get("Accept"))
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, "# TYPE lmcache_mp_l1_usage_ratio gauge\nlmcache_mp_l1_usage_ratio 0.5\n")
		_ = z.Close()
	})
	mux.HandleFunc("/html", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>\n") })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "lmcache_mp_l1_usage_ratio 0.5\n")
	})
	mux.HandleFunc("/slow", func(http.ResponseWriter, *http.Request) { <-block })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	defer close(block)
	fetch := func(url string, timeout time.Duration) (*top.Scrape, error) {
		c := top.NewClient(url, top.ClientOptions{Timeout: timeout})
		defer c.Close()
		return c.Fetch(t.Context())
	}
	s, err := fetch(srv.URL+"/metrics", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if f := top.Build(nil, s, top.Options{}); f.L1.Ratio != 0.5 || time.Since(s.At) > time.Minute {
		t.Errorf("%+v at %v", f.L1, s.At)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String() + "/metrics"
	l.Close()
	for url, want := range map[string]string{
		srv.URL + "/nothing": srv.URL + "/nothing: answered 404 Not Found",
		srv.URL + "/html":    srv.URL + "/html: not a page of metrics",
		srv.URL + "/broken":  "unexpected EOF",
		srv.URL + "/slow":    "cannot connect to " + srv.URL + "/slow: no answer within 50ms",
		nobody:               "cannot connect to " + nobody + ": connection refused",
	} {
		var fe *top.FetchError
		if _, err := fetch(url, 50*time.Millisecond); !errors.As(err, &fe) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := top.NewClient(srv.URL+"/metrics", top.ClientOptions{Timeout: time.Minute})
	defer c.Close()
	if _, err := c.Fetch(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled fetch: %v", err)
	}
}
