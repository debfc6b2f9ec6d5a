package httpserver

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// REQ-W39: /loglevel shows the level and sets it, while the server runs.
func TestLogLevel(t *testing.T) {
	var level slog.LevelVar
	var told atomic.Int32
	s := open(t, Options{Level: &level, LevelChanged: func() { told.Add(1) }})
	const plain, js = "text/plain; charset=utf-8", "application/json"
	for _, c := range []struct {
		query, ctype string
		status       int
		body         string
		level        slog.Level
		told         int32
	}{
		{"", plain, 200, "=== Loggers and Levels ===\nlmcache: INFO\n", slog.LevelInfo, 0},
		{"?logger_name=lmcache", plain, 200, "lmcache: INFO", slog.LevelInfo, 0},
		{"?logger_name=lmcache&level=DEBUG", plain, 200, "Set lmcache level to DEBUG (including all handlers)", slog.LevelDebug, 1},
		{"?logger_name=lmcache&level=loud", plain, 400, "Invalid log level: loud", slog.LevelDebug, 1},
		{"?logger_name=root&level=ERROR", js, 404, `{"detail":"there is no logger \"root\": the only one is lmcache"}`, slog.LevelDebug, 1},
		{"?logger_name=root", js, 404, `{"detail":"there is no logger \"root\": the only one is lmcache"}`, slog.LevelDebug, 1},
		{"?level=warning", plain, 200, "Set lmcache level to WARNING (including all handlers)", slog.LevelWarn, 2},
		{"?logger_name=lmcache&level=CRITICAL", plain, 200, "Set lmcache level to CRITICAL (including all handlers)", slog.LevelError + 4, 3},
		{"", plain, 200, "=== Loggers and Levels ===\nlmcache: CRITICAL\n", slog.LevelError + 4, 3},
	} {
		res, body := do(t, s, "GET", "/loglevel"+c.query, nil)
		if res.StatusCode != c.status || string(body) != c.body || res.Header.Get("Content-Type") != c.ctype {
			t.Errorf("%s: %d %q %s, want %d %q %s", c.query, res.StatusCode, body, res.Header.Get("Content-Type"), c.status, c.body, c.ctype)
		}
		if level.Level() != c.level || told.Load() != c.told {
			t.Errorf("%s: level %v, told %d times, want %v, %d", c.query, level.Level(), told.Load(), c.level, c.told)
		}
	}
	if res, _ := do(t, s, "POST", "/loglevel?level=DEBUG", nil); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", res.StatusCode)
	}
	if res, _ := do(t, open(t, Options{}), "GET", "/loglevel", nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("without a level: %d", res.StatusCode)
	}
}

// A page of another site cannot set the level with a link or an image, and nobody can
// over an address that others reach. Both may read it.
func TestLogLevelIsForAdministrators(t *testing.T) {
	var log bytes.Buffer
	var level slog.LevelVar
	o := Options{Level: &level, Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: &log}, nil))}
	local := open(t, o)
	o.Addr = "0.0.0.0:0"
	open := open(t, o)
	for _, c := range []struct {
		name   string
		s      *Server
		site   string
		set    int
		detail string
	}{
		{"a shell", local, "", http.StatusOK, ""},
		{"an address bar", local, "none", http.StatusOK, ""},
		{"a page of its own", local, "same-origin", http.StatusOK, ""},
		{"an image of another site", local, "cross-site", http.StatusForbidden, `{"detail":"site not allowed"}`},
		{"another port", local, "same-site", http.StatusForbidden, `{"detail":"site not allowed"}`},
		{"over all addresses", open, "", http.StatusForbidden, `{"detail":"administrative routes are served on loopback addresses only, unless there is a token"}`},
	} {
		level.Set(slog.LevelInfo)
		header := http.Header{}
		if c.site != "" {
			header.Set("Sec-Fetch-Site", c.site)
		}
		if res, _ := do(t, c.s, "GET", "/loglevel", header); res.StatusCode != http.StatusOK {
			t.Errorf("%s reads: %d", c.name, res.StatusCode)
		}
		res, body := do(t, c.s, "GET", "/loglevel?level=ERROR", header)
		if res.StatusCode != c.set || (c.detail != "" && string(body) != c.detail) {
			t.Errorf("%s sets: %d %s, want %d %s", c.name, res.StatusCode, body, c.set, c.detail)
		}
		if changed := level.Level() == slog.LevelError; changed != (c.set == http.StatusOK) {
			t.Errorf("%s: the level is %v", c.name, level.Level())
		}
	}
	if want := "changes of the cache and of the log level are refused, because " + open.URL(); strings.Count(log.String(), "are refused") != 1 || !strings.Contains(log.String(), want) {
		t.Errorf("log: %s", log.String())
	}
}
