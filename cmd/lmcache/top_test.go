package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/top"
)

// REQ-C18: one frame of our server, on both of its ports, and of a page of LMCache's; a
// dead port and a foreign page give one line each.
func TestREQ_C18_Top(t *testing.T) {
	leak.Check(t)
	s := serve(t)
	defer s.stop(nil)
	lmcache := httptest.NewServer(http.FileServer(http.Dir("../../internal/top/testdata")))
	defer lmcache.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	l.Close()
	for _, c := range []struct {
		name, url string
		code      int
		want      string // on stdout, or on stderr if the code is not 0
	}{
		{"the metrics port", s.urls["metrics"], cli.ExitOK, "0.0%  0 B of 64.0 MiB"},
		{"the HTTP port", s.urls["http"], cli.ExitOK, "0.0%  0 B of 64.0 MiB"},
		{"host and port", strings.TrimPrefix(s.urls["http"], "http://"), cli.ExitOK, "0.0%  0 B of 64.0 MiB"},
		{"a server of LMCache", lmcache.URL + "/lmcache.txt", cli.ExitOK, "25.0%  1.00 MiB"},
		{"a dead port", dead, cli.ExitFailed, "lmcache: error: cannot connect to http://" + dead + "/metrics: connection refused (is the server running, and is that its metrics port?)\n"},
		{"no metrics", lmcache.URL + "/none", cli.ExitFailed, "lmcache: error: " + lmcache.URL + "/none: answered 404 Not Found\n"},
	} {
		r := newRun(t, nil)
		code := r.app.Run(t.Context(), []string{"top", "--once", "--interval", "0.2", c.url})
		got := r.stdout.String()
		if c.code != cli.ExitOK {
			if got != "" {
				t.Errorf("%s: stdout %q", c.name, got)
			}
			got = r.stderr.String()
		}
		if code != c.code || !strings.Contains(got, c.want) {
			t.Errorf("%s: exit code %d, %q lacks %q", c.name, code, got, c.want)
		}
		if strings.Contains(got, "\x1b") {
			t.Errorf("%s: escapes without a terminal", c.name)
		}
	}
}

// --json prints one document, and tenants as they are asked for.
func TestTopJSON(t *testing.T) {
	pages := httptest.NewServer(http.FileServer(http.Dir("../../internal/top/testdata")))
	defer pages.Close()
	r := newRun(t, map[string]string{"LMCACHE_URL": pages.URL + "/after.txt", "LMCACHE_SORT": "salt", "LMCACHE_TENANTS": "1"})
	if code := r.app.Run(t.Context(), []string{"top", "--json", "--interval", "0.2", "--slow", "60s"}); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, r.stderr.String())
	}
	var f top.Frame
	if err := json.Unmarshal(r.stdout.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	if f.URL != pages.URL+"/after.txt" || len(f.Tenants) != 1 || f.Tenants[0].Salt != "blue" || f.Hits.Tokens != 21000 || len(f.Slow) != 1 {
		t.Errorf("%+v", f)
	}
}

func TestTopUsage(t *testing.T) {
	for args, want := range map[string]string{
		"top --url ftp://x":          "--url: must be an http or https URL",
		"top --url a b":              "--url: is given twice",
		"top --interval 0.1":         "--interval: must be between 200ms and 5m0s, got 100ms",
		"top --interval 1h":          "--interval: must be between 200ms and 5m0s, got 1h0m0s",
		"top --tenants -1":           "--tenants: must be at least 0",
		"top --sort size":            "--sort: must be one of tokens, total, hits, salt",
		"top --timeout 0 --slow 0":   "--timeout: must be more than 0",
		"top a b":                    `unexpected argument "b"`,
		"top --onec":                 `unknown flag --onec; did you mean "--once"?`,
		"top http://[::1 --interval": "--interval",
	} {
		if stderr, code := stderrOf(t, strings.Fields(args)); code != cli.ExitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %q lacks %q", args, code, stderr, want)
		}
	}
}

// The locale decides about characters beyond ASCII; none is no reason to do without.
func TestUnicodeLocale(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, true},
		{map[string]string{"LANG": "C.UTF-8"}, true},
		{map[string]string{"LANG": "en_US.utf8", "LC_ALL": ""}, true},
		{map[string]string{"LANG": "C.UTF-8", "LC_ALL": "POSIX"}, false},
		{map[string]string{"LANG": "de_DE.ISO-8859-1"}, false},
		{map[string]string{"LC_CTYPE": "en_US.UTF-8", "LANG": "C"}, true},
	} {
		if got := unicodeLocale(newRun(t, c.env).app.IO); got != c.want {
			t.Errorf("%v: %v", c.env, got)
		}
	}
}
