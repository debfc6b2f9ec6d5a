package observe

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
)

// spanRig is a SpanSubscriber on a manual bus, over the SDK. Times are seconds
// after epoch.
type spanRig struct {
	t    testing.TB
	bus  *eventbus.Bus
	rec  *tracetest.SpanRecorder
	subj *SpanSubscriber
	log  bytes.Buffer
}

func newSpanRig(t testing.TB, o SpanOptions) *spanRig {
	t.Helper()
	r := &spanRig{t: t, bus: eventbus.New(eventbus.Options{Manual: true}), rec: tracetest.NewSpanRecorder()}
	o.Logger = slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if r.subj, err = NewSpanSubscriber(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.rec)), o); err != nil {
		t.Fatal(err)
	}
	if _, err := r.bus.Subscribe(r.subj); err != nil {
		t.Fatal(err)
	}
	r.bus.Drain(second(0))
	return r
}

func second(s float64) time.Time { return epoch.Add(time.Duration(s * float64(time.Second))) }

// ev publishes e at a second; the order is that of the calls.
func ev[E eventbus.Event](e E) func(*spanRig, float64) {
	return func(r *spanRig, at float64) { eventbus.TopicOf[E](r.bus).PublishAt(e, second(at)) }
}

// step is one event of a session "s".
type step struct {
	at      float64
	publish func(*spanRig, float64)
}

func requestStart() func(*spanRig, float64) { return ev(lmcache.RequestStarted{SessionID: "s"}) }
func requestEnd() func(*spanRig, float64)   { return ev(lmcache.RequestEnded{SessionID: "s"}) }
func lookupStart() func(*spanRig, float64)  { return ev(lmcache.LookupStarted{SessionID: "s"}) }
func lookupEnd(hit, requested int) func(*spanRig, float64) {
	return ev(lmcache.LookupEnded{SessionID: "s", HitTokens: hit, RequestedTokens: requested, L1HitTokens: hit, Model: "m"})
}

func storeSubmit(op string) func(*spanRig, float64) {
	return ev(lmcache.StoreSubmitted{SessionID: "s", Device: "fake:0", OpID: op})
}

func storeStart(op string) func(*spanRig, float64) {
	return ev(lmcache.StoreStarted{SessionID: "s", Device: "fake:0", OpID: op, EngineID: "1", Model: "m"})
}

func storeEnd(op string) func(*spanRig, float64) {
	return ev(lmcache.StoreEnded{SessionID: "s", Device: "fake:0", OpID: op, EngineID: "1", Model: "m", StoredCount: 3, Success: true})
}

func retrieveSubmit() func(*spanRig, float64) {
	return ev(lmcache.RetrieveSubmitted{SessionID: "s", Device: "fake:0", OpID: "r"})
}

func retrieveStart() func(*spanRig, float64) {
	return ev(lmcache.RetrieveStarted{SessionID: "s", Device: "fake:0", OpID: "r"})
}

func retrieveEnd(n int) func(*spanRig, float64) {
	return ev(lmcache.RetrieveEnded{SessionID: "s", Device: "fake:0", OpID: "r", RetrievedCount: n, Success: true})
}

func (r *spanRig) play(steps ...step) {
	for _, s := range steps {
		s.publish(r, s.at)
		r.bus.Drain(second(0))
	}
}

// tree is the spans that have ended as "name [start,end]", children below their
// root and sorted, with "!" for an error and "?" for one that was given up.
func (r *spanRig) tree() []string {
	byParent := make(map[string][]sdktrace.ReadOnlySpan)
	ended := r.rec.Ended()
	ids := make(map[string]bool)
	for _, s := range ended {
		ids[s.SpanContext().SpanID().String()] = true
	}
	for _, s := range ended {
		parent := s.Parent().SpanID().String()
		if !ids[parent] {
			parent = ""
		}
		byParent[parent] = append(byParent[parent], s)
	}
	var lines []string
	var walk func(parent, indent string)
	walk = func(parent, indent string) {
		spans := byParent[parent]
		slices.SortStableFunc(spans, func(a, b sdktrace.ReadOnlySpan) int {
			if c := a.StartTime().Compare(b.StartTime()); c != 0 {
				return c
			}
			return strings.Compare(a.Name(), b.Name())
		})
		for _, s := range spans {
			line := fmt.Sprintf("%s%s [%g,%g]", indent, s.Name(), s.StartTime().Sub(epoch).Seconds(), s.EndTime().Sub(epoch).Seconds())
			if s.Status().Code == codes.Error {
				line += " !"
			}
			if v, ok := attributeOf(s, "lmcache.span.leaked"); ok && v.AsBool() {
				line += "?"
			}
			lines = append(lines, line)
			walk(s.SpanContext().SpanID().String(), indent+"  ")
		}
	}
	walk("", "")
	return lines
}

func attributeOf(s sdktrace.ReadOnlySpan, key string) (attribute.Value, bool) {
	for _, a := range s.Attributes() {
		if string(a.Key) == key {
			return a.Value, true
		}
	}
	return attribute.Value{}, false
}

// open counts the spans that have begun and not ended, and fails if one ended twice.
func (r *spanRig) open() int {
	r.t.Helper()
	seen := make(map[string]bool)
	for _, s := range r.rec.Ended() {
		id := s.SpanContext().SpanID().String()
		if seen[id] {
			r.t.Errorf("span %s %s ended twice", s.Name(), id)
		}
		seen[id] = true
	}
	return len(r.rec.Started()) - len(seen)
}

func (r *spanRig) want(lines ...string) {
	r.t.Helper()
	if diff := cmp.Diff(lines, r.tree()); diff != "" {
		r.t.Errorf("spans (-want +got):\n%s", diff)
	}
	traces := make(map[string]bool)
	for _, s := range r.rec.Ended() {
		traces[s.SpanContext().TraceID().String()] = true
		if v, ok := attributeOf(s, "session_id"); !ok || v.AsString() == "" {
			r.t.Errorf("%s has no session_id", s.Name())
		}
		if scope := s.InstrumentationScope().Name; scope != "lmcache_mp.server" {
			r.t.Errorf("tracer %q", scope)
		}
	}
	if len(lines) > 0 && len(traces) != 1 {
		r.t.Errorf("%d traces, want 1", len(traces))
	}
	if open := r.open(); open != 0 || r.subj.Stats().Open != 0 {
		r.t.Errorf("%d spans open, Stats says %d", open, r.subj.Stats().Open)
	}
	if n := r.subj.spans.sessions.len(); n != 0 {
		r.t.Errorf("%d sessions are remembered as open", n)
	}
}

// The seven scenarios: the tree, and the root ends when the request does.
func TestREQ_O43_Trees(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step
		want  []string
	}{
		{
			"full hit",
			[]step{
				{0, requestStart()},
				{0.1, lookupStart()},
				{1, lookupEnd(1024, 1024)},
				{1.5, retrieveSubmit()},
				{2, retrieveStart()},
				{3, retrieveEnd(4)},
				{4, storeSubmit("1")},
				{5, storeStart("1")},
				{6, storeEnd("1")},
				{7, requestEnd()},
			},
			[]string{"request [0,7]", "  mp.lookup_prefetch [0.1,1]", "  mp.retrieve [2,3]", "  mp.store [5,6]"},
		},
		{
			"miss",
			[]step{
				{0, requestStart()},
				{0.1, lookupStart()},
				{1, lookupEnd(0, 1024)},
				{4, storeSubmit("1")},
				{5, storeStart("1")},
				{6, storeEnd("1")},
				{7, requestEnd()},
			},
			[]string{"request [0,7]", "  mp.lookup_prefetch [0.1,1]", "  mp.store [5,6]"},
		},
		{
			"lookup only",
			[]step{{0, requestStart()}, {0.1, lookupStart()}, {1, lookupEnd(0, 0)}, {2, requestEnd()}},
			[]string{"request [0,2]", "  mp.lookup_prefetch [0.1,1]"},
		},
		{
			"store only",
			[]step{{0, storeSubmit("1")}, {1, storeStart("1")}, {2, storeEnd("1")}, {3, requestEnd()}},
			[]string{"request [1,3]", "  mp.store [1,2]"},
		},
		{
			"END races with a store",
			[]step{
				{0, requestStart()},
				{0.1, lookupStart()},
				{1, lookupEnd(0, 1024)},
				{2, storeSubmit("1")},
				{3, requestEnd()},
				{4, storeStart("1")},
				{5, storeEnd("1")},
			},
			[]string{"request [0,3]", "  mp.lookup_prefetch [0.1,1]", "  mp.store [4,5]"},
		},
		{
			"END races with a retrieve",
			[]step{
				{0, requestStart()},
				{0.1, lookupStart()},
				{1, lookupEnd(64, 64)},
				{2, retrieveSubmit()},
				{3, requestEnd()},
				{3.5, requestEnd()},
				{4, retrieveStart()},
				{5, retrieveEnd(1)},
			},
			[]string{"request [0,3.5]", "  mp.lookup_prefetch [0.1,1]", "  mp.retrieve [4,5]"},
		},
		{
			"several stores",
			[]step{
				{0, requestStart()},
				{0.1, lookupStart()},
				{1, lookupEnd(0, 1024)},
				{2, storeSubmit("1")},
				{2, storeSubmit("2")},
				{3, storeStart("1")},
				{4, storeStart("2")},
				{5, requestEnd()},
				{6, storeEnd("2")},
				{7, storeEnd("1")},
			},
			[]string{"request [0,5]", "  mp.lookup_prefetch [0.1,1]", "  mp.store [3,7]", "  mp.store [4,6]"},
		},
		{
			"a store-only session ends before its store has begun",
			[]step{{0, storeSubmit("1")}, {1, requestEnd()}, {2, storeStart("1")}, {3, storeEnd("1")}},
			[]string{"request [1,1]", "  mp.store [2,3]"},
		},
		{
			"the start of the request comes twice and late",
			[]step{{0, lookupStart()}, {1, requestStart()}, {1, requestStart()}, {2, lookupEnd(0, 0)}, {3, requestEnd()}},
			[]string{"request [0,3]", "  mp.lookup_prefetch [0,2]"},
		},
		{
			"an end without a start",
			[]step{{0, requestStart()}, {1, storeSubmit("1")}, {2, requestEnd()}, {3, storeEnd("1")}},
			[]string{"request [0,2]"},
		},
		{"the end alone", []step{{0, requestEnd()}, {1, storeEnd("1")}, {1, lookupEnd(1, 1)}}, nil},
		{
			"REQ-O47: an abandoned lookup",
			[]step{
				{0, requestStart()},
				{0, lookupStart()},
				{1, ev(lmcache.LookupAbandoned{SessionID: "s", Reason: "session_end"})},
				{2, requestEnd()},
			},
			[]string{"request [0,2]", "  mp.lookup_prefetch [0,1] !"},
		},
		{
			"REQ-O16: a failed store, and nothing retrieved",
			[]step{
				{0, requestStart()},
				{1, retrieveSubmit()},
				{1, retrieveStart()},
				{2, retrieveEnd(0)},
				{3, storeSubmit("1")},
				{3, storeStart("1")},
				{4, ev(lmcache.StoreEnded{SessionID: "s", Device: "fake:0", OpID: "1"})},
				{5, requestEnd()},
			},
			[]string{"request [0,5]", "  mp.retrieve [1,2] !", "  mp.store [3,4] !"},
		},
		{
			"a lookup is still open when the request ends",
			[]step{{0, requestStart()}, {0, lookupStart()}, {2, requestEnd()}, {3, lookupEnd(0, 64)}},
			[]string{"request [0,2]", "  mp.lookup_prefetch [0,3]"},
		},
		{
			"REQ-O47: work after the root has ended stays in its trace",
			[]step{
				{0, requestStart()},
				{1, requestEnd()},
				{2, storeStart("1")},
				{3, storeEnd("1")},
				{4, storeSubmit("2")},
				{5, storeStart("2")},
				{6, storeEnd("2")},
			},
			[]string{"request [0,1]", "  mp.store [2,3]", "  mp.store [5,6]"},
		},
		{
			"an end before its start in time is moved",
			[]step{{5, requestStart()}, {5, lookupStart()}, {4, lookupEnd(0, 0)}, {3, requestEnd()}},
			[]string{"request [5,5]", "  mp.lookup_prefetch [5,5]"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newSpanRig(t, SpanOptions{})
			r.play(c.steps...)
			r.want(c.want...)
			for kind, n := range r.subj.Stats().Leaked {
				if n != 0 {
					t.Errorf("%d of %s were given up", n, kind)
				}
			}
		})
	}
}

// Two ranks and two overlapping stores on each are spans of their own.
func TestREQ_O46_Ranks(t *testing.T) {
	r := newSpanRig(t, SpanOptions{})
	requestStart()(r, 0)
	for i := range 4 {
		dev, op := fmt.Sprintf("fake:%d", i%2), fmt.Sprint(i/2)
		ev(lmcache.StoreSubmitted{SessionID: "s", Device: dev, OpID: op})(r, 1)
		ev(lmcache.StoreStarted{SessionID: "s", Device: dev, OpID: op})(r, float64(2+i))
	}
	for i := range 4 {
		dev, op := fmt.Sprintf("fake:%d", i%2), fmt.Sprint(i/2)
		ev(lmcache.StoreEnded{SessionID: "s", Device: dev, OpID: op, Success: true})(r, float64(20-i))
	}
	requestEnd()(r, 30)
	r.bus.Drain(second(0))
	r.want("request [0,30]", "  mp.store [2,20]", "  mp.store [3,19]", "  mp.store [4,18]", "  mp.store [5,17]")
	devices := make(map[string]int)
	for _, s := range r.rec.Ended() {
		if v, ok := attributeOf(s, "device"); ok {
			devices[v.AsString()]++
		}
	}
	if diff := cmp.Diff(map[string]int{"fake:0": 2, "fake:1": 2}, devices); diff != "" {
		t.Error(diff)
	}
}

// Operations that cannot be told apart close first in, first out.
func TestSpansFIFO(t *testing.T) {
	r := newSpanRig(t, SpanOptions{})
	r.play(step{0, storeStart("")}, step{1, storeStart("")}, step{2, storeEnd("")}, step{3, storeEnd("")}, step{4, requestEnd()})
	r.want("request [0,4]", "  mp.store [0,2]", "  mp.store [1,3]")
}

// REQ-O39, O44: attributes are typed and spelled as documented.
func TestSpanAttributes(t *testing.T) {
	misses := storage.MissCounts{}
	misses.Add(storage.MissAbsent, 2)
	r := newSpanRig(t, SpanOptions{})
	r.play(
		step{0, requestStart()}, step{0, lookupStart()},
		step{1, ev(lmcache.LookupEnded{
			SessionID: "s", FoundCount: 3, RequestedTokens: 1024, HitTokens: 768, L1HitTokens: 512, L2HitTokens: 256, Model: "m", Salt: "t\xff",
			Misses: misses, ResolvedAt: second(0.5),
		})},
		step{2, retrieveSubmit()},
		step{2, ev(lmcache.RetrieveStarted{SessionID: "s", Device: "fake:0", OpID: "r", EngineID: "old", Model: "m"})},
		step{3, ev(lmcache.RetrieveEnded{
			SessionID: "s", Device: "fake:0", OpID: "r", EngineID: "7", Model: "m", Salt: "x", RetrievedCount: 3, TotalBytes: 3 << 40, NumTokens: 768, Success: true,
		})},
		step{4, requestEnd()},
	)
	want := map[string]map[string]any{
		"request": {
			"session_id": "s", "hit_tokens": int64(768), "requested_tokens": int64(1024), "hit_rate": 0.75,
			"l1_hit_tokens": int64(512), "l2_hit_tokens": int64(256), "early_exit_reason": "",
		},
		"mp.lookup_prefetch": {
			"session_id": "s", "found_count": int64(3), "requested_tokens": int64(1024), "hit_tokens": int64(768), "l1_hit_tokens": int64(512),
			"l2_hit_tokens": int64(256), "model_name": "m", "cache_salt": "t\uFFFD", "early_exit_reason": "", "miss_reasons.absent": int64(2),
			"resolved_at": "2026-01-02T03:04:05.5Z",
		},
		"mp.retrieve": {
			"session_id": "s", "device": "fake:0", "engine_id": "7", "model_name": "m", "cache_salt": "x", "op_id": "r",
			"retrieved_count": int64(3), "total_bytes": int64(3 << 40), "num_tokens": int64(768), "success": true,
		},
	}
	got := make(map[string]map[string]any)
	for _, s := range r.rec.Ended() {
		got[s.Name()] = make(map[string]any)
		for _, a := range s.Attributes() {
			got[s.Name()][string(a.Key)] = a.Value.AsInterface()
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// REQ-O44: nothing requested is a rate of 0, and without a lookup there is none.
func TestREQ_O44_HitRate(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step
		want  []float64
	}{
		{"nothing requested", []step{{0, requestStart()}, {0, lookupStart()}, {1, lookupEnd(0, 0)}, {2, requestEnd()}}, []float64{0}},
		{"store only", []step{{0, storeStart("1")}, {1, storeEnd("1")}, {2, requestEnd()}}, nil},
	} {
		r := newSpanRig(t, SpanOptions{})
		r.play(c.steps...)
		var got []float64
		for _, s := range r.rec.Ended() {
			if v, ok := attributeOf(s, "hit_rate"); ok && s.Name() == "request" {
				got = append(got, v.AsFloat64())
			}
			if _, ok := attributeOf(s, "hit_tokens"); ok != (c.want != nil) && s.Name() == "request" {
				t.Errorf("%s: hit_tokens is there: %v", c.name, ok)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: hit_rate %v, want %v", c.name, got, c.want)
		}
	}
}

// REQ-O50: a W3C context makes the request a child of it; a wrong one is none.
func TestREQ_O50_TraceParent(t *testing.T) {
	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for given, follows := range map[string]bool{
		"00-" + trace + "-" + parent + "-01": true, "": false, "nonsense": false,
		"00-00000000000000000000000000000000-" + parent + "-01": false, strings.Repeat("0", 1<<16): false,
	} {
		r := newSpanRig(t, SpanOptions{})
		r.play(step{0, ev(lmcache.RequestStarted{SessionID: "s", TraceParent: given})}, step{0, lookupStart()}, step{1, lookupEnd(1, 1)}, step{2, requestEnd()})
		r.want("request [0,2]", "  mp.lookup_prefetch [0,1]")
		root := r.rec.Ended()[1]
		if got := root.SpanContext().TraceID().String() == trace && root.Parent().SpanID().String() == parent && root.Parent().IsRemote(); got != follows {
			t.Errorf("%.40q: follows %v, want %v (%v)", given, got, follows, root.Parent())
		}
	}
	// What the caller does not sample is not recorded, and nothing breaks.
	r := newSpanRig(t, SpanOptions{})
	r.play(step{0, ev(lmcache.RequestStarted{SessionID: "s", TraceParent: "00-" + trace + "-" + parent + "-00"})}, step{0, lookupStart()}, step{1, lookupEnd(1, 1)}, step{2, requestEnd()})
	r.want()
}

// Another subscriber nests below what is open, or below the root, and what only wants
// to know the trace gets the root.
func TestSpanContextOfSession(t *testing.T) {
	registry := NewSpanRegistry()
	r := newSpanRig(t, SpanOptions{Registry: registry})
	if registry.SpanContext("s", "request").IsValid() {
		t.Error("an unknown session has a context")
	}
	r.play(step{0, requestStart()}, step{1, retrieveSubmit()}, step{1, retrieveStart()})
	root, child := registry.SpanContext("s", "request"), registry.SpanContext("s", "retrieve")
	if !root.IsValid() || root.TraceID() != child.TraceID() || root.SpanID() == child.SpanID() || !registry.SpanContext("s", "store").Equal(root) {
		t.Errorf("root %v, retrieve %v", root.SpanID(), child.SpanID())
	}
	if !registry.Root("s").Equal(root) || registry.Root("t").IsValid() || (*SpanRegistry)(nil).Root("s").IsValid() {
		t.Errorf("roots %v, %v, want %v and none", registry.Root("s").SpanID(), registry.Root("t").SpanID(), root.SpanID())
	}
	r.play(step{2, retrieveEnd(1)}, step{3, requestEnd()})
	if !registry.SpanContext("s", "retrieve").Equal(root) {
		t.Error("the root that has ended is not known any more")
	}
}

// An id that comes back is a trace of its own.
func TestSessionAgain(t *testing.T) {
	r := newSpanRig(t, SpanOptions{})
	for i := range 3 {
		at := float64(10 * i)
		r.play(step{at, requestStart()}, step{at + 1, lookupStart()}, step{at + 1, storeStart("1")}, step{at + 2, storeEnd("1")}, step{at + 3, requestEnd()})
	}
	for i := range 3 {
		r.play(step{float64(40 + i), lookupEnd(0, 0)})
	}
	traces := make(map[string]int)
	for _, s := range r.rec.Ended() {
		traces[s.SpanContext().TraceID().String()]++
	}
	if got := slices.Collect(maps.Values(traces)); !slices.Equal(got, []int{3, 3, 3}) || r.open() != 0 {
		t.Errorf("spans per trace %v, %d open, want three traces of three", got, r.open())
	}
	var want []string
	for i := range 3 {
		at := 10 * i
		want = append(want, fmt.Sprintf("request [%d,%d]", at, at+3),
			fmt.Sprintf("  mp.lookup_prefetch [%d,%d]", at+1, 40+i), fmt.Sprintf("  mp.store [%d,%d]", at+1, at+2))
	}
	if diff := cmp.Diff(want, r.tree()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What does not match is told at DEBUG.
func TestSpanNoMatchLog(t *testing.T) {
	r := newSpanRig(t, SpanOptions{})
	r.play(step{0, storeEnd("1")})
	if !strings.Contains(r.log.String(), "No pending span for mp.store session=s") {
		t.Errorf("log: %s", r.log.String())
	}
}

func TestSpanOptionsRefused(t *testing.T) {
	if _, err := NewSpanSubscriber(nil, SpanOptions{}); err == nil {
		t.Error("no provider was accepted")
	}
	if _, err := NewSpanSubscriber(sdktrace.NewTracerProvider(), SpanOptions{MaxAge: -1}); err == nil || !strings.Contains(err.Error(), "max age") {
		t.Errorf("negative age: %v", err)
	}
}

func TestParseEndpoint(t *testing.T) {
	for in, want := range map[string]string{
		"localhost:4317": "http://localhost:4317", "http://collector": "http://collector:4317", "https://c.example:443/": "https://c.example:443",
		"[::1]:99": "http://[::1]:99", "HTTPS://h": "https://h:4317", "10.0.0.1": "http://10.0.0.1:4317",
	} {
		if e, err := ParseEndpoint(in); err != nil || e.URL() != want {
			t.Errorf("%s: %s, %v, want %s", in, e.URL(), err, want)
		}
	}
	for in, want := range map[string]string{
		"": "must name a host", ":4317": "must name a host", "grpc://h": "got scheme", "h:0": "between 1 and 65535", "h:70000": "between 1 and 65535",
		"http://h/v1/traces": "alone", "http://u:p@h": "alone", "http://h:x": "must be a URL", "h h": "must be a URL",
	} {
		if _, err := ParseEndpoint(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
	err := Options{Tracing: true, SpanMaxAge: -1, LabelLimit: -1}.Validate()
	for _, want := range []string{"OTLP gRPC endpoint", "span max age", "label limit"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
}
