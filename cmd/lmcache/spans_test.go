package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/leak"
)

// REQ-O45: a workload writes a span per request and operation, all of one process.
func TestWorkloadSpans(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "spans.jsonl")
	r := newRun(t, map[string]string{"LMCACHE_SPAN_OUTPUT": path})
	if code := r.app.Run(t.Context(), []string{"bench", "workload", "--limit", "20", "--json", "--service-instance-id", "w"}); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, r.stderr.String())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]int)
	for line := range strings.Lines(string(data)) {
		var doc struct {
			ResourceSpans []struct {
				ScopeSpans []struct{ Spans []struct{ Name string } }
			}
		}
		if err := json.Unmarshal([]byte(line), &doc); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if !strings.Contains(line, `{"key":"service.instance.id","value":{"stringValue":"w"}}`) || strings.Contains(line, "lmcache.span.leaked") {
			t.Errorf("line %s", line)
		}
		names[doc.ResourceSpans[0].ScopeSpans[0].Spans[0].Name]++
	}
	if names["request"] != 20 || names["mp.lookup_prefetch"] != 20 || names["mp.store"] == 0 {
		t.Errorf("spans %v", names)
	}
}

// A server whose collector is not there starts, serves and stops as any other; it
// says once where it cannot push to.
func TestServerDeadCollector(t *testing.T) {
	leak.Check(t)
	s := serve(t, "--otlp-endpoint", "127.0.0.1:1", "--enable-tracing", "--shutdown-timeout-seconds", "3")
	if got := get(t, s.urls["metrics"]); !strings.Contains(got, "target_info{") {
		t.Errorf("GET /metrics:\n%s", got)
	}
	code, stderr := s.stop(&cli.InterruptedError{Signal: syscall.SIGTERM})
	if code != cli.ExitOK || strings.Count(stderr, "export(s) of metrics to http://127.0.0.1:1 failed") != 1 {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
	for _, want := range []string{"OTel MeterProvider initialised with OTLP exporter (http://127.0.0.1:1), resource=", "OTel TracerProvider initialised with OTLP exporter (http://127.0.0.1:1), resource="} {
		if strings.Count(stderr, want) != 1 {
			t.Errorf("no %q in:\n%s", want, stderr)
		}
	}
}

// What is wrong about spans is found before anything starts, or names the file.
func TestSpanFlagsRefused(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--enable-tracing"}, cli.ExitUsage, "lmcache: error: --enable-tracing requires --otlp-endpoint to be set. Tracing needs an OTLP gRPC endpoint to export spans.\n"},
		{[]string{"--otlp-endpoint", "grpc://h"}, cli.ExitUsage, "--otlp-endpoint: must begin with http:// or https:// or be HOST:PORT"},
		{[]string{"--otlp-endpoint", "h:99999", "--enable-tracing", "--chunk-size", "0"}, cli.ExitUsage, "--otlp-endpoint: must have a port between 1 and 65535"},
		{[]string{"--otlp-logs"}, cli.ExitUsage, "lmcache: error: --otlp-logs requires --otlp-endpoint to be set. It is where log records are pushed to.\n"},
		{[]string{"--span-output", filepath.Join(t.TempDir(), "no", "spans")}, cli.ExitFailed, filepath.Join("no", "spans")},
	} {
		r := newRun(t, anyPorts)
		if code := r.app.Run(t.Context(), append(append([]string(nil), smallServer...), c.args...)); code != c.code || !strings.Contains(r.stderr.String(), c.want) {
			t.Errorf("%q: exit code %d, want %d:\n%s", c.args, code, c.code, r.stderr.String())
		}
	}
}

// REQ-O61: a collector that is not there, for metrics, spans and logs, keeps the end of a
// server waiting for five seconds, not for as long as an export may try.
func TestREQ_O61_DeadCollector(t *testing.T) {
	leak.Check(t)
	s := serve(t, "--otlp-endpoint", "127.0.0.1:1", "--enable-tracing", "--otlp-logs", "--log-level", "DEBUG")
	began := time.Now()
	code, stderr := s.stop(&cli.InterruptedError{Signal: syscall.SIGTERM})
	// An export tries for 30 seconds; on a busy machine five seconds and one batch may take longer.
	if took := time.Since(began); code != cli.ExitOK || took > 20*time.Second {
		t.Errorf("exit code %d after %v:\n%s", code, took, stderr)
	}
	for _, what := range []string{"metrics", "log records"} {
		if !strings.Contains(stderr, "of "+what+" to http://127.0.0.1:1 failed") {
			t.Errorf("nothing said of %s:\n%s", what, stderr)
		}
	}
	if !strings.Contains(stderr, "OTel LoggerProvider initialised with OTLP exporter (http://127.0.0.1:1), resource=") {
		t.Errorf("stderr:\n%s", stderr)
	}
}
