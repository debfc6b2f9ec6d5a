package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// startReady is how long a program may take to be ready on a busy machine.
const startReady = 2 * time.Minute

// start runs a program until the returned function stops it by SIGINT, and waits until
// it has written what it writes when it is ready. Without the program the test is skipped.
func start(t *testing.T, program, ready string, args ...string) (stop func()) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed: see `make help`", program)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, args...)
	up, ended := make(chan struct{}), make(chan error, 1)
	out := &watcher{text: ready, found: sync.OnceFunc(func() { close(up) })}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- cmd.Wait() }()
	stop = sync.OnceFunc(func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Errorf("%s: %v", program, err)
		}
		if err := <-ended; err != nil {
			t.Errorf("%s: %v:\n%s", program, err, out)
		}
	})
	t.Cleanup(stop)
	timeout, cancel := context.WithTimeout(t.Context(), startReady)
	defer cancel()
	select {
	case <-up:
	case err := <-ended:
		ended <- nil
		t.Fatalf("%s ended: %v:\n%s", program, err, out)
	case <-timeout.Done():
		t.Fatalf("%s is not ready after %v:\n%s", program, startReady, out)
	}
	return stop
}

// freeAddr is an address of the loopback that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// writeConfig writes a configuration of lines of YAML.
func writeConfig(t *testing.T, lines ...string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// attributes are those of OTLP-JSON, as text.
type attributes []struct {
	Key   string
	Value map[string]any
}

func (a attributes) get(key string) string {
	for _, kv := range a {
		if kv.Key == key {
			for _, v := range kv.Value {
				return fmt.Sprint(v)
			}
		}
	}
	return ""
}

// collected is the documents of a file of OTLP-JSON, which are T.
func collected[T any](t *testing.T, path string) (docs []T) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(bytes.NewReader(data)); dec.More(); {
		var doc T
		if err := dec.Decode(&doc); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		docs = append(docs, doc)
	}
	return docs
}

type resourceJSON struct{ Attributes attributes }

type metricsJSON struct {
	ResourceMetrics []struct {
		Resource     resourceJSON
		ScopeMetrics []struct {
			Metrics []struct {
				Name string
				Sum  struct {
					AggregationTemporality int
					DataPoints             []struct{ AsInt string }
				}
			}
		}
	}
}

type spansJSON struct {
	ResourceSpans []struct {
		Resource   resourceJSON
		ScopeSpans []struct {
			Spans []struct {
				TraceID, SpanID, Name string
				Attributes            attributes
			}
		}
	}
}

type logsJSON struct {
	ResourceLogs []struct {
		Resource  resourceJSON
		ScopeLogs []struct {
			LogRecords []struct {
				TraceID, SpanID, SeverityText string
				Body                          struct{ StringValue string }
				Attributes                    attributes
			}
		}
	}
}

// REQ-O59: an OpenTelemetry collector accepts the metrics, spans and log records of a
// workload, all with one resource; the numbers are those of the result, and each line of a
// session has the trace of that session.
func TestREQ_O59_Collector(t *testing.T) {
	dir, addr := t.TempDir(), freeAddr(t)
	stop := start(t, "otelcol", "Everything is ready", "--config", writeConfig(t,
		"receivers: {otlp: {protocols: {grpc: {endpoint: "+strconv.Quote(addr)+"}}}}",
		"exporters:",
		"  file/metrics: {path: "+strconv.Quote(filepath.Join(dir, "metrics"))+"}",
		"  file/traces: {path: "+strconv.Quote(filepath.Join(dir, "traces"))+"}",
		"  file/logs: {path: "+strconv.Quote(filepath.Join(dir, "logs"))+"}",
		"service:",
		"  telemetry: {metrics: {level: none}}",
		"  pipelines:",
		"    metrics: {receivers: [otlp], exporters: [file/metrics]}",
		"    traces: {receivers: [otlp], exporters: [file/traces]}",
		"    logs: {receivers: [otlp], exporters: [file/logs]}",
	))
	r, code := bench(t, "--json", "--otlp-endpoint", addr, "--enable-tracing", "--otlp-logs", "--log-level", "DEBUG", "--service-instance-id", "w")
	if code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, r.stderr.String())
	}
	stop() // it writes what it has
	result := counts(t, r.stdout.String())
	resource := func(what string, a attributes) {
		if a.get("service.instance.id") != "w" || a.get("service.name") != "lmcache-go" {
			t.Errorf("%s of %v", what, a)
		}
	}

	sums := make(map[string]float64) // of the last push
	for _, doc := range collected[metricsJSON](t, filepath.Join(dir, "metrics")) {
		for _, rm := range doc.ResourceMetrics {
			resource("metrics", rm.Resource.Attributes)
			for _, sm := range rm.ScopeMetrics {
				for _, m := range sm.Metrics {
					if len(m.Sum.DataPoints) > 0 && m.Sum.AggregationTemporality != 2 {
						t.Errorf("%s is not cumulative", m.Name)
					}
					sums[m.Name] = 0
					for _, p := range m.Sum.DataPoints {
						n, err := strconv.ParseFloat(p.AsInt, 64)
						if err != nil {
							t.Fatalf("%s: %v", m.Name, err)
						}
						sums[m.Name] += n
					}
				}
			}
		}
	}
	roots := make(map[string]string) // by session: trace and span
	spans := make(map[string]float64)
	for _, doc := range collected[spansJSON](t, filepath.Join(dir, "traces")) {
		for _, rs := range doc.ResourceSpans {
			resource("spans", rs.Resource.Attributes)
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					spans[s.Name]++
					if s.Name == "request" {
						roots[s.Attributes.get("session_id")] = s.TraceID + " " + s.SpanID
					}
				}
			}
		}
	}
	lines := make(map[string]float64) // by the beginning of the text
	for _, doc := range collected[logsJSON](t, filepath.Join(dir, "logs")) {
		for _, rl := range doc.ResourceLogs {
			resource("logs", rl.Resource.Attributes)
			for _, sl := range rl.ScopeLogs {
				for _, l := range sl.LogRecords {
					begin, _, _ := strings.Cut(l.Body.StringValue, "session=")
					lines[l.SeverityText+" "+strings.TrimSpace(begin)]++
					if session := l.Attributes.get("session_id"); session != "" && roots[session] != l.TraceID+" "+l.SpanID {
						t.Errorf("%s: trace and span %s %s, want %s", l.Body.StringValue, l.TraceID, l.SpanID, roots[session])
					}
				}
			}
		}
	}
	requests := result["requests"].(float64)
	want := map[string]float64{
		"metric lookups": requests, "metric sm_write_succeed_keys": result["stored_chunks"].(float64), "metric num_chunks_loaded": result["hit_chunks"].(float64),
		"metric l1_evicted_keys": result["evicted_chunks"].(float64), "span request": requests, "span mp.lookup_prefetch": requests,
		"line MP lookup/prefetch start": requests, "line MP store end": spans["mp.store"], "line MP retrieve end": spans["mp.retrieve"],
	}
	got := map[string]float64{
		"metric lookups": sums["lmcache_mp.lookups"], "metric sm_write_succeed_keys": sums["lmcache_mp.sm_write_succeed_keys"],
		"metric num_chunks_loaded": sums["lmcache_mp.num_chunks_loaded"], "metric l1_evicted_keys": sums["lmcache_mp.l1_evicted_keys"],
		"span request": spans["request"], "span mp.lookup_prefetch": spans["mp.lookup_prefetch"],
		"line MP lookup/prefetch start": lines["DEBUG MP lookup/prefetch start:"], "line MP store end": lines["DEBUG MP store end:"],
		"line MP retrieve end": lines["DEBUG MP retrieve end:"],
	}
	if diff := cmp.Diff(want, got); diff != "" || requests == 0 || spans["mp.retrieve"] == 0 {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
