//go:build jaeger

package main

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// REQ-O59: Jaeger shows the traces of a workload: it finds them by service, operation and
// attribute, and each has one root with the others below it. Jaeger takes minutes to
// build, so this is not part of the tests of every change: make jaeger.
func TestREQ_O59_Jaeger(t *testing.T) {
	addr, web, rpc := freeAddr(t), freeAddr(t), freeAddr(t)
	start(t, "jaeger", "Everything is ready", "--config", writeConfig(t,
		"receivers: {otlp: {protocols: {grpc: {endpoint: "+strconv.Quote(addr)+"}}}}",
		"exporters: {jaeger_storage_exporter: {trace_storage: memory}}",
		"extensions:",
		"  jaeger_storage: {backends: {memory: {memory: {max_traces: 100000}}}}",
		"  jaeger_query: {storage: {traces: memory}, http: {endpoint: "+strconv.Quote(web)+"}, grpc: {endpoint: "+strconv.Quote(rpc)+"}}",
		"service:",
		"  extensions: [jaeger_storage, jaeger_query]",
		"  telemetry: {metrics: {level: none}}",
		"  pipelines: {traces: {receivers: [otlp], exporters: [jaeger_storage_exporter]}}",
	))
	r, code := bench(t, "--json", "--otlp-endpoint", addr, "--enable-tracing", "--service-instance-id", "w")
	if code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, r.stderr.String())
	}
	requests := int(counts(t, r.stdout.String())["requests"].(float64))
	type reference struct{ RefType, SpanID string }
	type span struct {
		OperationName, SpanID string
		References            []reference
		Tags                  []struct {
			Key, Type string
			Value     any
		}
	}
	find := func(query string) (traces [][]span) {
		t.Helper()
		var answer struct {
			Data []struct{ Spans []span }
		}
		if err := json.Unmarshal([]byte(get(t, "http://"+web+"/api/traces?service=lmcache-go&limit=100000&lookback=1h&"+query)), &answer); err != nil {
			t.Fatal(err)
		}
		for _, d := range answer.Data {
			traces = append(traces, d.Spans)
		}
		return traces
	}
	all := find("operation=request")
	if len(all) != requests || requests == 0 {
		t.Fatalf("%d traces, want %d", len(all), requests)
	}
	for _, spans := range all {
		ids := make(map[string]string)
		for _, s := range spans {
			ids[s.SpanID] = s.OperationName
		}
		roots := 0
		for _, s := range spans {
			if len(s.References) == 0 {
				roots++
			} else if ids[s.References[0].SpanID] != "request" {
				t.Errorf("%s is below %q", s.OperationName, ids[s.References[0].SpanID])
			}
		}
		if roots != 1 {
			t.Errorf("%d roots in %v", roots, ids)
		}
	}
	for _, spans := range find("operation=mp.retrieve&tags=" + `%7B%22success%22%3A%22true%22%7D`) {
		for _, s := range spans {
			for _, tag := range s.Tags {
				if want := map[string]string{"hit_tokens": "int64", "hit_rate": "float64", "success": "bool", "session_id": "string"}[tag.Key]; want != "" && tag.Type != want {
					t.Errorf("%s of %s is %s, want %s", tag.Key, s.OperationName, tag.Type, want)
				}
			}
		}
	}
	if n := len(find("operation=mp.retrieve&tags=" + `%7B%22success%22%3A%22true%22%7D`)); n == 0 {
		t.Error("no trace is found by an attribute")
	}
}
