package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/observe"
)

// REQ-O53: the request log of a run has a line per request, whose sums are those of
// the result.
func TestREQ_O53_WorkloadRequestLog(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "requests.jsonl")
	r, code := bench(t, "--json", "--request-log", path)
	if code != cli.ExitOK {
		t.Fatalf("exit code %d, %s", code, r.stderr.String())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for line := range strings.Lines(string(data)) {
		var l struct {
			Retrieved float64 `json:"retrieved_chunks"`
			Stored    float64 `json:"stored_chunks"`
			In        float64 `json:"bytes_in"`
			Out       float64 `json:"bytes_out"`
			Evicted   float64 `json:"evicted_keys"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		got["requests"]++
		got["hit_chunks"] += l.Retrieved
		got["stored_chunks"] += l.Stored
		got["retrieved_bytes"] += l.In
		got["stored_bytes"] += l.Out
		got["evicted_chunks"] += l.Evicted
	}
	want := map[string]float64{}
	for name, v := range counts(t, r.stdout.String()) {
		if _, ok := got[name]; ok {
			want[name] = v.(float64)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || got["evicted_chunks"] == 0 || got["hit_chunks"] == 0 {
		t.Errorf("sums (-want +got):\n%s", diff)
	}
}

// REQ-O54: the flags bound the files.
func TestREQ_O54_RequestLogFlags(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		r, code := bench(t, "--json", "--request-log", filepath.Join(dir, "r"), "--request-log-max-size", "4000", "--request-log-max-files", "3")
		if code != cli.ExitOK {
			t.Fatalf("exit code %d, %s", code, r.stderr.String())
		}
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 3 {
		t.Errorf("%d files, want 3: %v", len(list), err)
	}
	for _, e := range list {
		if about, err := e.Info(); err != nil || about.Size() > 4000 || about.Size() == 0 {
			t.Errorf("%s: %d bytes, %v", e.Name(), about.Size(), err)
		}
	}
}

// A request log that cannot be opened refuses the start and leaves nothing behind.
func TestRequestLogRefused(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "missing", "r")
	r := newRun(t, anyPorts)
	code := r.app.Run(t.Context(), append(append([]string(nil), smallServer...), "--request-log", path))
	if code != cli.ExitFailed || !strings.Contains(r.stderr.String(), "lmcache: error: --request-log: ") || !strings.Contains(r.stderr.String(), path) {
		t.Errorf("exit code %d, %s", code, r.stderr.String())
	}
	if r, code := bench(t, "--request-log", "-"); code != cli.ExitUsage || !strings.Contains(r.stderr.String(), "--request-log: must be a file") {
		t.Errorf("stdout beside the result: exit code %d, %s", code, r.stderr.String())
	}
}

// The lines go to stdout if they are asked to, and a server's start says nothing there.
func TestRequestLogOnStdout(t *testing.T) {
	s := serve(t, "--request-log", "-")
	if code, stderr := s.stop(&cli.InterruptedError{}); code != cli.ExitOK || strings.Contains(stderr, "warning") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// REQ-O51: LMCACHE_LOG_LEVEL in any case, unknown text is INFO; the messages of events at
// DEBUG only, and not with --disable-logging; no escape bytes without a terminal.
func TestREQ_O51_LogLevel(t *testing.T) {
	for _, c := range []struct {
		level, flag string
		debug, info bool
	}{
		{level: "debug", debug: true, info: true},
		{level: "DeBuG", debug: true, info: true},
		{level: "INFO", info: true},
		{level: "loud", info: true},
		{level: "critical"},
		{level: "DEBUG", flag: "--disable-logging", info: true},
		{level: "DEBUG", flag: "--disable-observability", info: true},
		{level: "CRITICAL", flag: "--log-level=debug", debug: true, info: true},
	} {
		r := newRun(t, map[string]string{"LMCACHE_LOG_LEVEL": c.level})
		args := []string{"bench", "workload", "--bytes-per-token", "16", "--limit", "3", "--json"}
		if c.flag != "" {
			args = append(args, c.flag)
		}
		if code := r.app.Run(t.Context(), args); code != cli.ExitOK {
			t.Fatalf("%+v: exit code %d, %s", c, code, r.stderr.String())
		}
		text := r.stderr.String()
		for _, m := range []string{"LMCache DEBUG: L1 write reserved: ", "LMCache DEBUG: MP store end: session=0 device=fake:0 stored_count=", "LMCache DEBUG: SM write finished: "} {
			if strings.Contains(text, m) != c.debug {
				t.Errorf("%+v: %q is there: %v", c, m, !c.debug)
			}
		}
		if strings.Contains(text, "LMCache INFO: Stored ") != c.info || strings.Contains(text, "\x1b") {
			t.Errorf("%+v:\n%s", c, text)
		}
	}
}

// REQ-O51: the messages of a server's life, word for word but for ports, ids and places.
func TestREQ_O51_ServerMessages(t *testing.T) {
	s := serve(t, "--service-instance-id", "me")
	code, stderr := s.stop(&cli.InterruptedError{Signal: syscall.SIGTERM})
	if code != cli.ExitOK {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^\[[-0-9]+ [:0-9]+,\d{3}\] LMCache (.*) \(\w+\.go:\d+:\w+\)$`).FindAllStringSubmatch(stderr, -1) {
		got = append(got, m[1])
	}
	want := []string{
		"INFO: OTel MeterProvider initialised with Prometheus fallback (" + s.urls["metrics"] + "), resource=",
		"INFO: HTTP server listening on " + s.urls["http"],
		"INFO: LMCache cache server is running...",
		"INFO: metrics: " + s.urls["metrics"],
		"INFO: http: " + s.urls["http"],
		"INFO: Shutting down server...",
	}
	matches := len(got) == len(want) && strings.Count(stderr, "\n") == len(want)
	for i := 0; matches && i < len(want); i++ {
		matches = got[i] == want[i] || i == 0 && strings.HasPrefix(got[i], want[i])
	}
	if !matches {
		t.Errorf("got:\n%s\nwant:\n%s", stderr, strings.Join(want, "\n"))
	}
}

// REQ-O51: /loglevel changes what a running server logs, and attaches what logs events.
func TestREQ_O51_LevelAtRunTime(t *testing.T) {
	leak.Check(t)
	s := serve(t)
	get(t, s.urls["http"]+"/healthcheck")
	if got := get(t, s.urls["http"]+"/loglevel?logger_name=lmcache&level=DEBUG"); got != "Set lmcache level to DEBUG (including all handlers)" {
		t.Errorf("set: %q", got)
	}
	get(t, s.urls["http"]+"/readyz")
	get(t, s.urls["http"]+"/loglevel?logger_name=lmcache&level=INFO")
	get(t, s.urls["http"]+"/livez")
	_, stderr := s.stop(&cli.InterruptedError{Signal: syscall.SIGTERM})
	for path, want := range map[string]bool{"/healthcheck": false, "/readyz": true, "/livez": false} {
		if got := strings.Contains(stderr, "LMCache DEBUG: HTTP GET "+path+" 200"); got != want {
			t.Errorf("%s is in the log: %v, want %v\n%s", path, got, want, stderr)
		}
	}

	var level slog.LevelVar
	log := slog.New(slog.NewTextHandler(new(strings.Builder), &slog.HandlerOptions{Level: &level}))
	obs, err := openObservability(&flags.Observability{QueueSize: 100, DisableMetrics: true}, log, &level)
	if err != nil {
		t.Fatal(err)
	}
	if err := obs.openLogs(&flags.Observability{}, io.Discard); err != nil {
		t.Fatal(err)
	}
	running := &service{log: log, obs: obs}
	for l, want := range map[slog.Level]int{slog.LevelDebug: len(observe.LogSubscribers(log)), slog.LevelInfo: 0} {
		level.Set(l)
		running.levelChanged()
		if n := len(obs.bus.Stats().Isolated); n != want {
			t.Errorf("at %v: %d subscribers are attached, want %d", l, n, want)
		}
	}
	if err := obs.close(t.Context()); err != nil {
		t.Error(err)
	}
}
