package export_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/observe/export"
)

// logLine is a log record that came.
type logLine struct {
	Severity, Text, Session, Trace, Span string
}

// logLines are the records that came, each of which must belong to id.
func (c *collector) logLines(t *testing.T, id string) []logLine {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []logLine
	for _, rl := range c.mu.logs {
		if res := describes(rl.GetResource()); res["service.instance.id"] != id || res["service.name"] != "lmcache-go" {
			t.Errorf("logs of %v, want those of %q", res, id)
		}
		for _, sl := range rl.GetScopeLogs() {
			for _, r := range sl.GetLogRecords() {
				lines = append(lines, lineOfLog(r))
			}
		}
	}
	return lines
}

func lineOfLog(r *logspb.LogRecord) logLine {
	l := logLine{
		Severity: r.GetSeverityText(), Text: r.GetBody().GetStringValue(), Trace: fmt.Sprintf("%x", r.GetTraceId()), Span: fmt.Sprintf("%x", r.GetSpanId()),
	}
	for _, a := range r.GetAttributes() {
		if a.GetKey() == observe.LogSession {
			l.Session = a.GetValue().GetStringValue()
		}
	}
	return l
}

// roots are trace and span of each session's root that came.
func roots(spans []spanLine) map[string][2]string {
	m := make(map[string][2]string)
	for _, s := range spans {
		if s.Name == "request" {
			m[strings.TrimPrefix(s.Attributes["session_id"], "string ")] = [2]string{s.Trace, s.Span}
		}
	}
	return m
}

// REQ-O59: log records come with the resource of the spans and metrics, and those of a
// session with the trace and the root span of that session, however fast they were.
func TestREQ_O59_Logs(t *testing.T) {
	leak.Check(t)
	c := newCollector(t, "")
	id := "rack-7"
	h := newTracedHost(t, observe.Options{OTLPEndpoint: c.addr, Tracing: true, OTLPLogs: true, InstanceID: &id}, nil, nil)
	h.log.Debug("below the level")
	h.serveAll()
	h.level.Set(-4)
	h.log.Debug("at the level")
	hostile := h.eng.Session(lmcache.Request{ID: "evil\xff\x00", Model: "nobody"})
	if n, err := hostile.Lookup(t.Context(), prompt(0, 64)).Tokens(t.Context()); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if err := hostile.Close(); err != nil {
		t.Fatal(err)
	}
	h.close(t.Context())

	known := roots(c.spanLines(t, id))
	texts := make(map[string]int)
	seconds := regexp.MustCompile(`\d+\.\d+ (m?s)|prefetch_request_id=\d+`)
	for _, l := range c.logLines(t, id) {
		texts[l.Severity+" "+seconds.ReplaceAllString(l.Text, "N")]++
		if l.Session == "" {
			continue
		}
		if root, ok := known[l.Session]; !ok || root != [2]string{l.Trace, l.Span} {
			t.Errorf("%q of session %q: trace %s, span %s, want %v", l.Text, l.Session, l.Trace, l.Span, root)
		}
	}
	for text, n := range map[string]int{
		"INFO Stored 48 tokens in Neconds": 1, "INFO Stored 16 tokens in Neconds": 1, "INFO Stored 32 tokens in Neconds": 1,
		"INFO Retrieved 48 tokens in Neconds": 1, "DEBUG at the level": 1, "DEBUG below the level": 0,
		"ERROR No GPU context found for model nobody with world size 1 during lookup!": 1,
	} {
		if texts[text] != n {
			t.Errorf("%q came %d times, want %d", text, texts[text], n)
		}
	}
	if t.Failed() {
		t.Logf("came: %q", slices.Sorted(maps.Keys(texts)))
	}
	var came int
	for _, n := range texts {
		came += n
	}
	if st := h.logs.Stats(); st.Emitted != uint64(came) || st.Left != 0 || st.Failed != 0 || came < 6 {
		t.Errorf("%d came, %+v", came, st)
	}
}

// Without the switch there is nothing.
func TestLogsOff(t *testing.T) {
	l, err := export.OpenLogs(observe.Options{OTLPEndpoint: "h:1"}, export.Options{})
	if l != nil || err != nil {
		t.Fatal(l, err)
	}
	if err := l.Flush(t.Context()); err != nil || l.Stats() != (export.LogCounts{}) || l.Shutdown(t.Context()) != nil {
		t.Errorf("%v, %+v", err, l.Stats())
	}
	if _, err := export.OpenLogs(observe.Options{OTLPLogs: true}, export.Options{}); err == nil {
		t.Error("no endpoint was accepted")
	}
	if _, err := export.NewLogs(export.Options{OTLPEndpoint: "grpc://h"}); err == nil {
		t.Error("a wrong endpoint was accepted")
	}
}

// A collector that hangs, or that is not there, delays nobody who logs: what finds no
// room is counted, the complaint is one line that does not itself go to the collector.
func TestLogsWithoutCollector(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	ln.Close()
	hangs := newCollector(t, "")
	defer hangs.hold()()
	for name, addr := range map[string]string{"it hangs": hangs.addr, "nobody is there": nobody} {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			var log logBuffer
			h := newTracedHost(t, observe.Options{OTLPEndpoint: addr, OTLPLogs: true}, log.logger(), nil)
			const records = 10_000
			for i := range records { // would take as many exports, of 30 seconds each, if it waited
				h.log.Info("line", "session", fmt.Sprint(i))
			}
			h.serveAll()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			h.close(ctx)
			st := h.logs.Stats()
			if st.Emitted < records || st.Delivered != 0 || st.Lost+st.Left != st.Emitted || st.Left == 0 {
				t.Errorf("%+v", st)
			}
			if n := strings.Count(log.String(), "of log records to http://"+addr+" failed"); n < 1 || n > 2 {
				t.Errorf("%d warnings:\n%s", n, log.String())
			}
		})
	}
}

var exemplar = regexp.MustCompile(`(?m)^(lmcache_mp_\w+)_bucket\{(.*)\} \S+ # \{(.*)\} \S+ \S+$`)

var operation = regexp.MustCompile(`op="\w+"`)

// REQ-O50: the exemplars of a scrape in OpenMetrics, and of the push, are the traces of
// sessions that did such a thing.
func TestREQ_O50_Exemplars(t *testing.T) {
	leak.Check(t)
	c := newCollector(t, "")
	id := "rack-7"
	h := newTracedHost(t, observe.Options{OTLPEndpoint: c.addr, Tracing: true, InstanceID: &id, SampleRate: 1}, nil, nil)
	h.serveAll()
	_, body := fetch(t, h.rig.url, http.Header{"Accept": {"application/openmetrics-text; version=1.0.0"}})
	if err := h.rig.m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.close(t.Context())
	known := make(map[string]bool) // labels of an exemplar that is a root
	for _, root := range roots(c.spanLines(t, id)) {
		known[fmt.Sprintf(`span_id=%q,trace_id=%q`, root[1], root[0])] = true
	}
	got := make(map[string]bool)
	for _, m := range exemplar.FindAllStringSubmatch(body, -1) {
		labels := strings.Split(m[3], ",")
		slices.Sort(labels)
		if !known[strings.Join(labels, ",")] {
			t.Errorf("%s: %v is not the root of a session", m[1], labels)
		}
		got[m[1]+" "+operation.FindString(m[2])] = true
	}
	want := []string{
		"lmcache_mp_l0_l1_load_throughput_gbs ", "lmcache_mp_l0_l1_store_throughput_gbs ",
		`lmcache_mp_operation_duration_seconds op="lookup"`, `lmcache_mp_operation_duration_seconds op="prefetch_wait"`,
		`lmcache_mp_operation_duration_seconds op="retrieve"`, `lmcache_mp_operation_duration_seconds op="store"`,
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("exemplars (-want +got):\n%s\n%s", diff, strings.Join(exemplar.FindAllString(body, -1), "\n"))
	}
	if n := c.exemplars(); n < len(want) {
		t.Errorf("%d exemplars were pushed", n)
	}
}

// Without spans there is nothing to show.
func TestNoExemplars(t *testing.T) {
	h := newTracedHost(t, observe.Options{SampleRate: 1}, nil, nil)
	h.serveAll()
	_, body := fetch(t, h.rig.url, http.Header{"Accept": {"application/openmetrics-text; version=1.0.0"}})
	if m := exemplar.FindString(body); m != "" || !strings.Contains(body, "lmcache_mp_operation_duration_seconds_bucket") {
		t.Errorf("%q in %d bytes", m, len(body))
	}
}

// exemplars counts those of the latest push of metrics.
func (c *collector) exemplars() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rm := range c.mu.metrics {
		for _, sm := range rm.GetScopeMetrics() {
			for _, m := range sm.GetMetrics() {
				for _, p := range m.GetHistogram().GetDataPoints() {
					for _, e := range p.GetExemplars() {
						if len(e.GetTraceId()) == 16 && len(e.GetSpanId()) == 8 {
							n++
						}
					}
				}
			}
		}
	}
	return n
}
