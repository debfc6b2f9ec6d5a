package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/lmcache-go/lmcache/observe"
)

// Sizes and times of the batches of spans, for each destination.
const (
	spanQueue     = 2048
	spanBatch     = 512
	spanBatchTime = 5 * time.Second
	maxAttributes = 128 // of a span
)

// Spans is a tracer provider whose spans go to an OTLP collector, a file, or both.
// All methods are safe for concurrent use; a nil Spans is one that is switched off.
// Shutdown it after the bus that feeds it.
type Spans struct {
	provider *sdktrace.TracerProvider
	ended    atomic.Uint64
	sinks    []*spanDelivery
}

// OpenSpans assembles the tracer provider that o asks for: spans are pushed to
// o.OTLPEndpoint if o.Tracing is set, and appended to o.SpanOutput. No collector
// need be there. If o asks for no spans it returns nil, which is a Spans that
// records nothing.
func OpenSpans(o observe.Options, eo Options) (*Spans, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if !o.Spans() {
		return nil, nil //nolint:nilnil // documented: nil is the Spans that is off
	}
	eo.InstanceID = o.InstanceID
	eo.OTLPEndpoint, eo.SpanOutput = "", o.SpanOutput
	if o.Tracing {
		eo.OTLPEndpoint = o.OTLPEndpoint
	}
	return NewSpans(eo)
}

// NewSpans assembles the provider from OTLPEndpoint and SpanOutput of o; without
// either it samples spans that go nowhere.
func NewSpans(o Options) (*Spans, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	res, err := newResource(o.InstanceID)
	if err != nil {
		return nil, err
	}
	s := &Spans{}
	opts := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(res),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())),
		sdktrace.WithRawSpanLimits(sdktrace.SpanLimits{AttributeValueLengthLimit: -1, AttributeCountLimit: maxAttributes}),
		sdktrace.WithSpanProcessor(endCounter{&s.ended}),
	}
	if o.OTLPEndpoint != "" {
		sink, err := newSpanPush(o.OTLPEndpoint, o.Logger)
		if err != nil {
			return nil, err
		}
		s.sinks = append(s.sinks, sink)
	}
	if o.SpanOutput != "" {
		sink, err := newSpanFile(o.SpanOutput, o.Stdout, o.Logger)
		if err != nil {
			return nil, errors.Join(err, s.abandon())
		}
		s.sinks = append(s.sinks, sink)
	}
	for _, sink := range s.sinks {
		opts = append(opts, sdktrace.WithBatcher(sink, sdktrace.WithMaxQueueSize(spanQueue), sdktrace.WithMaxExportBatchSize(spanBatch),
			sdktrace.WithBatchTimeout(spanBatchTime), sdktrace.WithExportTimeout(exportTimeout)))
	}
	s.provider = sdktrace.NewTracerProvider(opts...)
	for _, sink := range s.sinks {
		o.Logger.Info(fmt.Sprintf("OTel TracerProvider initialised with %s (%s), resource=%s", sink.kind, sink.to, res.String()),
			slog.String("to", sink.to), slog.String("resource", res.String()))
	}
	return s, nil
}

// abandon closes exporters that no provider has.
func (s *Spans) abandon() error {
	var errs []error
	for _, sink := range s.sinks {
		errs = append(errs, sink.Shutdown(context.Background())) //nolint:forbidigo // nothing is in flight
	}
	return errors.Join(errs...)
}

// TracerProvider is what observe.SpanSubscribers takes.
func (s *Spans) TracerProvider() trace.TracerProvider {
	if s == nil {
		return noop.NewTracerProvider()
	}
	return s.provider
}

// SpanCounts are what has become of spans.
type SpanCounts struct {
	Ended uint64 // and sampled
	Sinks []SinkCounts
}

// SinkCounts are what has become of spans at one destination.
type SinkCounts struct {
	Delivery
	Left uint64 // spans that wait, or that the queue had no room for
}

// Stats returns the counts. After Shutdown, Left is exactly what the queue lost.
func (s *Spans) Stats() SpanCounts {
	if s == nil {
		return SpanCounts{}
	}
	var c SpanCounts
	for _, sink := range s.sinks {
		c.Sinks = append(c.Sinks, SinkCounts{Delivery: sink.stats()})
	}
	c.Ended = s.ended.Load()
	for i, sink := range s.sinks { // read after Ended, an item would be counted that had not ended
		c.Sinks[i].Left = c.Ended - min(c.Ended, sink.items.Load())
	}
	return c
}

// Flush sends all spans that have ended, until ctx ends. What a destination does
// not take is counted, and no error.
func (s *Spans) Flush(ctx context.Context) error {
	if s == nil {
		return nil
	}
	if err := s.provider.ForceFlush(ctx); err != nil {
		return fmt.Errorf("export: flush spans: %w", err)
	}
	return nil
}

// Shutdown sends what is left, for 5 seconds at most and not longer than ctx, and
// closes the destinations. What cannot be sent is counted and logged; that a
// collector is not there is no error. It is idempotent.
func (s *Spans) Shutdown(ctx context.Context) error {
	if s == nil {
		return nil
	}
	return shutdown(ctx, s.provider.Shutdown, s.deliveries())
}

func (s *Spans) deliveries() []*delivery {
	all := make([]*delivery, len(s.sinks))
	for i, sink := range s.sinks {
		all[i] = sink.delivery
	}
	return all
}

// endCounter counts the spans that destinations should get.
type endCounter struct{ n *atomic.Uint64 }

func (endCounter) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

func (c endCounter) OnEnd(s sdktrace.ReadOnlySpan) {
	if s.SpanContext().IsSampled() {
		c.n.Add(1)
	}
}

func (endCounter) Shutdown(context.Context) error   { return nil }
func (endCounter) ForceFlush(context.Context) error { return nil }
