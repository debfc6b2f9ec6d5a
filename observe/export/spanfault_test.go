package export_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/observe/export"
)

// bomb panics at every event of a request.
type bomb struct{ n int }

func (*bomb) Name() string { return "bomb" }

func (b *bomb) Subscribe(s *eventbus.Subscription) {
	explode[lmcache.RequestStarted](b, s)
	explode[lmcache.LookupEnded](b, s)
	explode[lmcache.StoreStarted](b, s)
	explode[lmcache.StoreEnded](b, s)
	explode[lmcache.RetrieveEnded](b, s)
	explode[lmcache.RequestEnded](b, s)
	s.AfterBatch(func() { panic("bomb") })
}

func (b *bomb) Close() error { panic("bomb") }

func explode[E eventbus.Event](b *bomb, s *eventbus.Subscription) {
	eventbus.On(s, func(E, time.Time) { b.n++; panic("bomb") })
}

// bombProvider panics in every call of its spans.
type bombProvider struct{ trace.TracerProvider }

func (bombProvider) Tracer(string, ...trace.TracerOption) trace.Tracer { return bombTracer{} }

type bombTracer struct{ trace.Tracer }

func (bombTracer) Start(context.Context, string, ...trace.SpanStartOption) (context.Context, trace.Span) {
	panic("bomb")
}

// results are what requests got.
func results(h *tracedHost) []string {
	h.t.Helper()
	var got []string
	for i := range 6 {
		s := h.eng.Session(lmcache.Request{ID: fmt.Sprint(i), Model: "m"})
		match := s.Lookup(h.t.Context(), prompt(0, 16*(i%3+1)))
		hit, err := match.Tokens(h.t.Context())
		line := fmt.Sprintf("hit %d %v", hit, err)
		if hit > 0 {
			tr, err := h.worker.Retrieve(h.t.Context(), match, blocks(i%3+1), nil)
			if err == nil {
				err = tr.Wait(h.t.Context())
			}
			line += fmt.Sprintf(", retrieved %v", err)
		}
		tr, err := h.worker.Store(h.t.Context(), s, prompt(0, 16*(i%3+1)), blocks(i%3+1), nil)
		if err == nil {
			err = tr.Wait(h.t.Context())
		}
		got = append(got, line+fmt.Sprintf(", stored %v, closed %v", err, s.Close()))
	}
	h.rig.flush(h.t)
	return got
}

// Whatever breaks in subscribers, exporters and sinks, requests get the same.
func TestREQ_O41_TelemetryCannotFailARequest(t *testing.T) {
	leak.Check(t)
	soon := func(t *testing.T) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	want := results(newTracedHost(t, observe.Options{}, nil, nil))
	for name, o := range map[string]observe.Options{
		"a dead collector": {OTLPEndpoint: "127.0.0.1:1", Tracing: true},
		"a full disk":      {SpanOutput: "/dev/full"},
		"no telemetry":     {},
		"a tiny queue":     {QueueSize: 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bomb{}
			h := newTracedHost(t, o, nil, nil, b)
			if diff := cmp.Diff(want, results(h)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if b.n == 0 {
				t.Error("nothing exploded")
			}
			h.close(soon(t))
			if o.SpanOutput != "" {
				if c := h.spans.Stats(); c.Sinks[0].Lost != c.Ended || c.Ended == 0 {
					t.Errorf("%+v", c)
				}
			}
		})
	}
	t.Run("tracers that panic", func(t *testing.T) {
		h := newTracedHost(t, observe.Options{}, nil, bombProvider{})
		if diff := cmp.Diff(want, results(h)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if h.subj.Stats().Open != 0 {
			t.Errorf("%+v", h.subj.Stats())
		}
	})
}

// badWriter fails now and then, and panics otherwise.
type badWriter struct{ n int }

func (w *badWriter) Write([]byte) (int, error) {
	if w.n++; w.n%2 == 0 {
		panic("bad writer")
	}
	return 0, io.ErrShortWrite
}

// A destination that fails or panics is counted, and said once a minute.
func TestSpanSinkFails(t *testing.T) {
	leak.Check(t)
	var log logBuffer
	s, err := export.NewSpans(export.Options{SpanOutput: observe.SpanStdout, Stdout: &badWriter{}, Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	const batches = 4
	for range batches {
		_, span := s.TracerProvider().Tracer("t").Start(t.Context(), "x")
		span.End()
		if err := s.Flush(t.Context()); err != nil {
			t.Errorf("flush: %v", err)
		}
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	c := s.Stats()
	if len(c.Sinks) != 1 || c.Sinks[0].Failed != batches || c.Sinks[0].Lost != batches || c.Sinks[0].Delivered != 0 {
		t.Errorf("%+v", c)
	}
	if first, rest := count(log.String(), "1 export(s) of spans"), count(log.String(), "3 export(s) of spans"); first != 1 || rest != 1 {
		t.Errorf("%d first and %d last warnings:\n%s", first, rest, log.String())
	}
}

// A file that cannot be opened is an error at once, that names it.
func TestSpanOutputRefused(t *testing.T) {
	leak.Check(t)
	_, err := export.OpenSpans(observe.Options{SpanOutput: t.TempDir() + "/no/spans.jsonl", Tracing: true, OTLPEndpoint: "h:1"}, export.Options{})
	if err == nil || count(err.Error(), "no/spans.jsonl") == 0 {
		t.Errorf("%v", err)
	}
	if _, err := export.NewSpans(export.Options{OTLPEndpoint: "ftp://h"}); err == nil {
		t.Error("a wrong endpoint was accepted for spans")
	}
	if _, err := export.NewMetrics(export.Options{OTLPEndpoint: "h:x"}); err == nil {
		t.Error("a wrong endpoint was accepted for metrics")
	}
	if s, err := export.OpenSpans(observe.Options{}, export.Options{}); s != nil || err != nil {
		t.Errorf("off: %v, %v", s, err)
	}
	if err := errors.Join((*export.Spans)(nil).Flush(t.Context()), (*export.Spans)(nil).Shutdown(t.Context())); err != nil {
		t.Errorf("nil: %v", err)
	}
}

func count(s, sub string) (n int) {
	for i := 0; i+len(sub) <= len(s); i++ {
		if s[i:i+len(sub)] == sub {
			n++
		}
	}
	return n
}

// timeline hears the times of stores and retrieves.
type timeline struct{ at map[string]time.Time }

func (*timeline) Name() string { return "timeline" }

func (l *timeline) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(e lmcache.StoreStarted, at time.Time) { l.at["start "+e.OpID] = at })
	eventbus.On(s, func(e lmcache.StoreEnded, at time.Time) { l.at["end "+e.OpID] = at })
	eventbus.On(s, func(e lmcache.RetrieveStarted, at time.Time) { l.at["start "+e.OpID] = at })
	eventbus.On(s, func(e lmcache.RetrieveEnded, at time.Time) { l.at["end "+e.OpID] = at })
}

// REQ-O48, O49, on a real engine whose copies fail at random: every start has an
// end, no span is given up, and the spans have the device's times.
func TestREQ_O48_EngineFaults(t *testing.T) {
	leak.Check(t)
	rec := tracetest.NewSpanRecorder()
	times := &timeline{at: make(map[string]time.Time)}
	h := newTracedHost(t, observe.Options{}, nil, sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec)), times)
	rng := rand.New(rand.NewPCG(48, 2))
	failed := 0
	for i := range 60 {
		kind := []fake.Kind{fake.Gather, fake.Scatter}[rng.IntN(2)]
		h.dev.Fail(fake.Fault{Kind: kind, After: rng.IntN(4), Effect: []fake.Effect{fake.Refuse, fake.Tear}[rng.IntN(2)]})
		first, chunks := int32(rng.IntN(3))*100, 1+rng.IntN(3)
		s := h.eng.Session(lmcache.Request{ID: fmt.Sprint(i), Model: "m"})
		match := s.Lookup(t.Context(), prompt(first, 16*chunks))
		if hit, err := match.Tokens(t.Context()); err != nil {
			t.Fatal(err)
		} else if hit > 0 {
			if tr, err := h.worker.Retrieve(t.Context(), match, blocks(chunks), nil); err == nil && tr.Wait(t.Context()) != nil {
				failed++
			}
		}
		if tr, err := h.worker.Store(t.Context(), s, prompt(first, 16*chunks), blocks(chunks), nil); err == nil && rng.IntN(2) == 0 && tr.Wait(t.Context()) != nil {
			failed++
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	h.close(t.Context())
	if failed == 0 {
		t.Fatal("nothing failed")
	}
	st := h.subj.Stats()
	for kind, n := range st.Leaked {
		if n != 0 {
			t.Errorf("%d of %s were given up", n, kind)
		}
	}
	if open := len(rec.Started()) - len(rec.Ended()); open != 0 || st.Open != 0 {
		t.Errorf("%d spans open, Stats says %d", open, st.Open)
	}
	errors, compared := 0, 0
	for _, s := range rec.Ended() {
		if s.Status().Description != "" {
			errors++
		}
		for _, a := range s.Attributes() {
			if a.Key != "op_id" {
				continue
			}
			compared++
			if op := a.Value.AsString(); !s.StartTime().Equal(times.at["start "+op]) || !s.EndTime().Equal(times.at["end "+op]) {
				t.Errorf("%s %s: %v to %v, the device says %v to %v", s.Name(), op, s.StartTime(), s.EndTime(), times.at["start "+op], times.at["end "+op])
			}
		}
	}
	if errors < failed || compared < failed {
		t.Errorf("%d spans with an error and %d with an operation, %d operations failed", errors, compared, failed)
	}
}
