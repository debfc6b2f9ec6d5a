package export_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/trace"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/observe/export"
)

// logBuffer is a logger that can be read.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// tracedHost is host with exporters of its own and spans. close ends it in the
// right order and may be called early.
type tracedHost struct {
	host

	dev   *fake.Device
	cache *gpu.Paged
	spans *export.Spans
	subj  *observe.SpanSubscriber
	logs  *export.Logs
	log   *slog.Logger  // of the engine, which goes to logs
	level slog.LevelVar // of logs
	close func(context.Context)
}

// newTracedHost opens o with further subscribers. Spans come from tp, or from o if
// it is nil.
func newTracedHost(t *testing.T, o observe.Options, log *slog.Logger, tp trace.TracerProvider, more ...eventbus.Subscriber) *tracedHost {
	t.Helper()
	o.PrometheusHost, o.PrometheusPort = "127.0.0.1", observe.AnyPort
	h := &tracedHost{dev: fake.New(fake.Options{})}
	h.t = t
	registry := observe.NewSpanRegistry()
	if o.Spans() {
		o.Exemplars = registry
	}
	m, err := export.Open(t.Context(), o, export.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if h.spans, err = export.OpenSpans(o, export.Options{Logger: log}); err != nil {
		t.Fatal(err)
	}
	if h.logs, err = export.OpenLogs(o, export.Options{Logger: log, Sessions: registry}); err != nil {
		t.Fatal(err)
	}
	bridge, err := observe.NewLogBridge(h.logs.LoggerProvider(), observe.LogBridgeOptions{Level: &h.level, Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	h.log = slog.New(bridge)
	h.rig = &rig{bus: eventbus.New(o.Bus(log)), m: m, url: m.URLs()[0]}
	if tp == nil {
		tp = h.spans.TracerProvider()
	}
	if h.subj, err = observe.NewSpanSubscriber(tp, observe.SpanOptions{MaxAge: o.SpanMaxAge, Registry: registry}); err != nil {
		t.Fatal(err)
	}
	for _, s := range append([]eventbus.Subscriber{h.subj}, more...) {
		if _, err := h.rig.bus.Subscribe(s); err != nil {
			t.Fatal(err)
		}
	}
	if h.rig.ob, err = observe.Start(h.rig.bus, m.MeterProvider(), o); err != nil {
		t.Fatal(err)
	}
	if h.eng, err = lmcache.Open(t.Context(), lmcache.Options{ChunkTokens: 16, L1: l1.Options{Bytes: 4096, Align: 64}, Bus: h.rig.bus, Logger: h.log}); err != nil {
		t.Fatal(err)
	}
	cache, err := h.dev.NewPaged(gpu.Shape{Layers: 2, Blocks: 16, BlockTokens: 8, Heads: 2, HeadSize: 4, DType: "float16"})
	if err != nil {
		t.Fatal(err)
	}
	h.cache = cache
	if h.worker, err = h.eng.Attach(lmcache.WorkerOptions{Model: "m", Backend: h.dev, Cache: cache}); err != nil {
		t.Fatal(err)
	}
	if err := h.rig.ob.Watch(observe.Sources{Engine: h.eng, Bus: h.rig.bus}); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	h.close = func(ctx context.Context) {
		once.Do(func() {
			t.Helper()
			all := context.WithoutCancel(ctx)
			err := errors.Join(h.eng.Close(all), h.dev.Close(), h.rig.bus.Close(all), h.rig.ob.Close(), h.spans.Shutdown(ctx), m.Shutdown(ctx), h.logs.Shutdown(ctx))
			if err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	t.Cleanup(func() { h.close(context.WithoutCancel(t.Context())) })
	return h
}

// serveAll is some traffic with known hits.
func (h *host) serveAll() {
	h.t.Helper()
	h.serve(prompt(0, 48), 0)
	h.serve(prompt(0, 64), 48)
	h.serve(prompt(1000, 32), 0)
	h.serve(prompt(2000, 5), 0)
	h.rig.flush(h.t)
}

// After a workload, what is pushed is what is scraped: every series, every number,
// every bucket. The resource goes with both, and with every span.
func TestREQ_O22_PullAndPushAgree(t *testing.T) {
	leak.Check(t)
	c := newCollector(t, "")
	id := "rack-7"
	file := filepath.Join(t.TempDir(), "spans.jsonl")
	h := newTracedHost(t, observe.Options{OTLPEndpoint: c.addr, Tracing: true, SpanOutput: file, InstanceID: &id}, nil, nil)
	h.serveAll()
	push := func() map[string]string {
		if err := h.rig.m.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		points, res := c.pushed()
		if res["service.instance.id"] != id || res["service.name"] != "lmcache-go" {
			t.Fatalf("metrics of %v", res)
		}
		return points
	}
	// The eviction loop ticks with the clock: compare between two equal pushes.
	var before, pulled, after map[string]string
	for {
		before, pulled, after = push(), h.rig.pulled(t), push()
		if maps.Equal(before, after) {
			break
		}
	}
	if diff := cmp.Diff(pulled, before); diff != "" {
		t.Errorf("pull and push differ (-pull +push):\n%s", diff)
	}
	const hits = `lmcache_mp_lookup_hit_tokens_total{cache_salt="",model_name="m"}`
	if before[hits] != "48" || len(before) < 60 {
		t.Errorf("%d series, %s = %q, want 48", len(before), hits, before[hits])
	}
	_, body := fetch(t, h.rig.url, nil)
	if !targetInfo.MatchString(body) || !strings.Contains(targetInfo.FindString(body), `service_instance_id="rack-7"`) {
		t.Error("the scrape has another instance id")
	}

	h.close(t.Context())
	want := map[string]int{"request": 4, "mp.lookup_prefetch": 4, "mp.retrieve": 1, "mp.store": 3}
	pushedSpans, fromFile := c.spanLines(t, id), fileLines(t, file, id)
	if diff := cmp.Diff(want, names(pushedSpans)); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(pushedSpans, fromFile); diff != "" { // REQ-O45
		t.Errorf("collector and file differ (-collector +file):\n%s", diff)
	}
	counts := h.spans.Stats()
	if counts.Ended != 12 || len(counts.Sinks) != 2 || counts.Sinks[0].Left != 0 || counts.Sinks[1].Left != 0 || counts.Sinks[0].Failed+counts.Sinks[1].Failed != 0 {
		t.Errorf("%+v", counts)
	}
	if st := h.subj.Stats(); st.Open != 0 || st.Leaked["request"] != 0 {
		t.Errorf("%+v", st)
	}
}

// spanLine is what both destinations must agree on.
type spanLine struct {
	Name, Trace, Span, Parent, Start, End string
	Attributes                            map[string]string
	Error                                 bool
}

func names(lines []spanLine) map[string]int {
	n := make(map[string]int)
	for _, l := range lines {
		n[l.Name]++
	}
	return n
}

func sortLines(lines []spanLine) []spanLine {
	slices.SortFunc(lines, func(a, b spanLine) int { return strings.Compare(a.Span, b.Span) })
	return lines
}

// spanLines are the spans that came, each of which must belong to id.
func (c *collector) spanLines(t *testing.T, id string) []spanLine {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []spanLine
	for _, rs := range c.mu.spans {
		if got := describes(rs.GetResource())["service.instance.id"]; got != id {
			t.Errorf("spans of %q, want %q", got, id)
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				if ss.GetScope().GetName() != "lmcache_mp.server" {
					t.Errorf("scope %q", ss.GetScope().GetName())
				}
				lines = append(lines, lineOf(s))
			}
		}
	}
	return sortLines(lines)
}

func lineOf(s *tracepb.Span) spanLine {
	l := spanLine{
		Name: s.GetName(), Trace: fmt.Sprintf("%x", s.GetTraceId()), Span: fmt.Sprintf("%x", s.GetSpanId()), Parent: fmt.Sprintf("%x", s.GetParentSpanId()),
		Start: fmt.Sprint(s.GetStartTimeUnixNano()), End: fmt.Sprint(s.GetEndTimeUnixNano()), Attributes: make(map[string]string),
		Error: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR,
	}
	for _, a := range s.GetAttributes() {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			l.Attributes[a.GetKey()] = "string " + v.StringValue
		case *common.AnyValue_IntValue:
			l.Attributes[a.GetKey()] = fmt.Sprint("int ", v.IntValue)
		case *common.AnyValue_DoubleValue:
			l.Attributes[a.GetKey()] = fmt.Sprint("double ", v.DoubleValue)
		case *common.AnyValue_BoolValue:
			l.Attributes[a.GetKey()] = fmt.Sprint("bool ", v.BoolValue)
		}
	}
	return l
}

// fileLines reads a span file as any other program would.
func fileLines(t *testing.T, path, id string) []spanLine {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	type kv struct {
		Key   string
		Value map[string]any
	}
	var lines []spanLine
	for line := range bytes.Lines(data) {
		var doc struct {
			ResourceSpans []struct {
				Resource   struct{ Attributes []kv }
				ScopeSpans []struct {
					Spans []struct {
						TraceID, SpanID, ParentSpanID, Name, StartTimeUnixNano, EndTimeUnixNano string
						Attributes                                                              []kv
						Status                                                                  struct{ Code int }
					}
				}
			}
		}
		if err := json.Unmarshal(line, &doc); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		rs := doc.ResourceSpans[0]
		if i := slices.IndexFunc(rs.Resource.Attributes, func(a kv) bool { return a.Key == "service.instance.id" }); i < 0 || rs.Resource.Attributes[i].Value["stringValue"] != id {
			t.Errorf("%s: resource %v", line, rs.Resource)
		}
		s := rs.ScopeSpans[0].Spans[0]
		l := spanLine{
			s.Name, s.TraceID, s.SpanID, s.ParentSpanID, s.StartTimeUnixNano, s.EndTimeUnixNano, make(map[string]string), s.Status.Code == 2,
		}
		for _, a := range s.Attributes {
			for kind, v := range a.Value {
				l.Attributes[a.Key] = fmt.Sprint(strings.TrimSuffix(kind, "Value"), " ", v)
			}
		}
		lines = append(lines, l)
	}
	return sortLines(lines)
}

// Without an endpoint nothing is pushed.
func TestREQ_O22_PullAlone(t *testing.T) {
	leak.Check(t)
	h := newTracedHost(t, observe.Options{}, nil, nil)
	h.serveAll()
	if err := h.rig.m.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if d := h.rig.m.Pushed(); d != (export.Delivery{}) || h.spans != nil {
		t.Errorf("pushed %+v, spans %v", d, h.spans)
	}
	if got := h.rig.pulled(t)["lmcache_mp_sm_read_requests_total"]; got == "" || got == "0" {
		t.Errorf("read requests %q", got)
	}
}

// A collector that never answers, or that is not there, changes neither the start,
// nor a request, nor the end: all of them go on while an export hangs.
func TestREQ_O22_DeadEndpoint(t *testing.T) {
	t.Run("it hangs", func(t *testing.T) {
		leak.Check(t)
		c := newCollector(t, "")
		defer c.hold()()
		var log logBuffer
		h := newTracedHost(t, observe.Options{OTLPEndpoint: c.addr, Tracing: true}, log.logger(), nil)
		arrived := c.next()
		flushing, stop := context.WithCancel(t.Context())
		flushed := make(chan error, 1)
		go func() { flushed <- h.rig.m.Flush(flushing) }()
		<-arrived // an export is in flight, and stays so
		h.serveAll()
		if h.rig.pulled(t)[`lmcache_mp_lookups_total{cache_salt="",model_name="m"}`] != "4" {
			t.Error("the scrape does not go on")
		}
		stop()
		<-flushed
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		h.close(ctx) // would wait for 30 seconds for the export, and then for that of the spans
		counts := h.spans.Stats()
		if counts.Ended == 0 || counts.Sinks[0].Failed == 0 || counts.Sinks[0].Lost+counts.Sinks[0].Left != counts.Ended {
			t.Errorf("%+v", counts)
		}
		if !strings.Contains(log.String(), "shut down") {
			t.Errorf("log: %s", log.String())
		}
	})
	t.Run("nobody is there", func(t *testing.T) {
		leak.Check(t)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := ln.Addr().String()
		ln.Close()
		var log logBuffer
		h := newTracedHost(t, observe.Options{OTLPEndpoint: "http://" + addr, Tracing: true}, log.logger(), nil)
		h.serveAll()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		h.close(ctx)
		if d := h.rig.m.Pushed(); d.Failed != 1 || d.Delivered != 0 || d.Lost == 0 {
			t.Errorf("%+v", d)
		}
		for _, what := range []string{"metrics", "spans"} {
			if n := strings.Count(log.String(), "1 export(s) of "+what+" to http://"+addr+" failed"); n != 1 {
				t.Errorf("%d warnings about %s:\n%s", n, what, log.String())
			}
		}
	})
}

// A collector that comes back gets what is new, and the totals of before.
func TestCollectorComesBack(t *testing.T) {
	leak.Check(t)
	c := newCollector(t, "")
	var log logBuffer
	h := newTracedHost(t, observe.Options{OTLPEndpoint: c.addr, Tracing: true}, log.logger(), nil)
	h.serve(prompt(0, 48), 0)
	h.rig.flush(t)
	if err := errors.Join(h.rig.m.Flush(t.Context()), h.spans.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	if n := names(c.spanLines(t, h.instance(t)))["request"]; n != 1 {
		t.Fatalf("%d requests, want 1", n)
	}
	c.stop()
	h.serve(prompt(0, 64), 48)
	h.rig.flush(t)
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	_ = h.rig.m.Flush(cut) // fails or is too late: nobody is there
	back := newCollector(t, c.addr)
	if err := errors.Join(h.rig.m.Flush(t.Context()), h.spans.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	if n := names(back.spanLines(t, h.instance(t)))["request"]; n != 1 {
		t.Errorf("%d requests after it was back, want 1", n)
	}
	points, _ := back.pushed()
	if got := points[`lmcache_mp_lookups_total{cache_salt="",model_name="m"}`]; got != "2" {
		t.Errorf("lookups %q, want 2:\n%s", got, log.String())
	}
	h.close(t.Context()) // before the collector
}

var instanceLabel = regexp.MustCompile(`service_instance_id="([^"]*)"`)

// instance is the instance id of the scrape.
func (h *tracedHost) instance(t *testing.T) string {
	t.Helper()
	_, body := fetch(t, h.rig.url, nil)
	m := instanceLabel.FindStringSubmatch(body)
	if m == nil {
		t.Fatal("no instance id")
	}
	return m[1]
}

// The environment of OpenTelemetry gives headers, and changes neither where nor
// what is sent.
func TestPushEnvironment(t *testing.T) {
	leak.Check(t)
	c := newCollector(t, "")
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://127.0.0.1:1",
		"OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=seven", "OTEL_EXPORTER_OTLP_TIMEOUT": "1", "OTEL_EXPORTER_OTLP_INSECURE": "false",
		"OTEL_TRACES_SAMPLER": "always_off", "OTEL_BSP_MAX_QUEUE_SIZE": "1", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1",
		"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta", "OTEL_METRIC_EXPORT_INTERVAL": "1",
	} {
		t.Setenv(name, value)
	}
	h := newTracedHost(t, observe.Options{OTLPEndpoint: "http://" + c.addr, Tracing: true}, nil, nil)
	h.serveAll()
	if err := h.rig.m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := h.instance(t)
	h.close(t.Context())
	lines := c.spanLines(t, id)
	if n := names(lines); n["request"] != 4 || n["mp.store"] != 3 || len(lines[0].Attributes) < 4 {
		t.Errorf("spans %v", lines)
	}
	if points, _ := c.pushed(); points[`lmcache_mp_lookups_total{cache_salt="",model_name="m"}`] != "4" {
		t.Errorf("pushed %v", points)
	}
	if c.mu.header == nil || c.mu.header[0] != "seven" {
		t.Errorf("header %q", c.mu.header)
	}
}

// A host's own registerer gets the metrics, under its labels. If it cannot be
// gathered from, it is the host who serves them.
func TestRegisterer(t *testing.T) {
	leak.Check(t)
	reg := prometheus.NewRegistry()
	m := open(t, export.Options{Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"host": "h"}, reg)})
	addOne(t, m, "x.keys", "")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "x_keys_total" })
	if i < 0 || families[i].Metric[0].Label[0].GetValue() != "h" {
		t.Errorf("gathered %v", families)
	}
	if _, err := m.Listen(t.Context(), "127.0.0.1", 0); err == nil || m.Handler() != nil {
		t.Errorf("serves what it cannot gather: %v", err)
	}
	if m := open(t, export.Options{Registerer: prometheus.NewRegistry()}); m.Handler() == nil {
		t.Error("a registry is not served")
	}
}
