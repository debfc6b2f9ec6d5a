package observe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// errNoProvider is what a nil metric.MeterProvider gives.
var errNoProvider = errors.New("observe: no meter provider")

// MetricOptions are what the metric subscribers have in common. The zero value
// is valid.
type MetricOptions struct {
	Buckets    Buckets // bounds of the histograms; zero: Tuned
	SampleRate float64 // share that the lifecycle and throughput histograms follow, up to 1; 0: 0.01
	Labels     *Labels // guard to share with other subscribers of the same provider; nil: an own one with the default limit

	Exemplars *SpanRegistry // whose sessions' traces are the exemplars of latency and throughput; nil: no exemplars
}

// background is the context of all recordings: they belong to a batch of events,
// not to a call that could be cancelled.
func background() context.Context {
	return context.Background() //nolint:forbidigo // a batch has no caller
}

// instruments makes the instruments of one provider from the table. Errors are
// kept and come from err, so that a subscriber asks once.
type instruments struct {
	mp      metric.MeterProvider
	buckets Buckets
	labels  *Labels
	spans   *SpanRegistry
	rate    float64
	refused *refused
	errs    []error
}

func newInstruments(mp metric.MeterProvider, o MetricOptions) (*instruments, error) {
	if mp == nil {
		return nil, errNoProvider
	}
	if err := o.Buckets.Validate(); err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	if o.SampleRate == 0 {
		o.SampleRate = DefaultSampleRate
	}
	if err := checkRate(o.SampleRate); err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	in := &instruments{mp: mp, buckets: o.Buckets, labels: o.Labels, spans: o.Exemplars, rate: o.SampleRate}
	if in.labels == nil {
		var err error
		if in.labels, err = NewLabels(mp, 0); err != nil {
			return nil, err
		}
	}
	in.refused = in.newRefused()
	if err := in.err(); err != nil {
		return nil, err
	}
	return in, nil
}

// err is what went wrong so far.
func (in *instruments) err() error {
	if len(in.errs) == 0 {
		return nil
	}
	return fmt.Errorf("observe: %w", errors.Join(in.errs...))
}

func (in *instruments) check(m *Metric, k Kind, err error) {
	if m.Kind != k {
		panic("observe: " + m.Name + " is not a " + k.String())
	}
	if err != nil {
		in.errs = append(in.errs, fmt.Errorf("%s: %w", m.Name, err))
	}
}

// int64Counter makes the counter of m and shows its known series at 0.
func (in *instruments) int64Counter(m *Metric) metric.Int64Counter {
	c, err := in.mp.Meter(m.Meter).Int64Counter(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Help))
	in.check(m, Counter, err)
	if known, ok := m.combinations(nil); ok && err == nil {
		for _, values := range known {
			c.Add(background(), 0, metric.WithAttributeSet(in.labels.census.set(m, 1, values...)))
		}
	}
	return c
}

// single is a counter without attributes.
func (in *instruments) single(name string) *single {
	m := find(name)
	if len(m.Attributes) != 0 {
		panic("observe: " + name + " has attributes")
	}
	return &single{counter: in.int64Counter(m), refused: in.refused, name: name}
}

// family is a counter with attributes.
func (in *instruments) family(name string) *family {
	m := find(name)
	return &family{m: m, counter: in.int64Counter(m), labels: in.labels, refused: in.refused, series: make(map[values]*series)}
}

// histogram is a histogram, with attributes or without.
func (in *instruments) histogram(name string) *histogram {
	m := find(name)
	h, err := in.mp.Meter(m.Meter).Float64Histogram(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Help),
		metric.WithExplicitBucketBoundaries(in.buckets.Bounds(m.Grid)...))
	in.check(m, Histogram, err)
	lines := len(in.buckets.Bounds(m.Grid)) + 3 // one per bucket with the infinite one, sum, count
	return &histogram{m: m, h: h, lines: lines, labels: in.labels, spans: in.spans, refused: in.refused, series: make(map[values][]metric.RecordOption)}
}

// bound is the counter of what one bound of one subscriber pushed out. It is shown at 0.
func (in *instruments) bound(subscriber, state string) *bound {
	m := find(nameSubscriberOverflow)
	b := &bound{counter: in.int64Counter(m), opts: []metric.AddOption{metric.WithAttributeSet(in.labels.census.set(m, 1, subscriber, state))}}
	b.counter.Add(background(), 0, b.opts...)
	return b
}

// refused counts values that must not reach an instrument.
type refused struct {
	m       *Metric
	counter metric.Int64Counter
	labels  *Labels
}

func (in *instruments) newRefused() *refused {
	m := find(nameInvalid)
	return &refused{m: m, counter: in.int64Counter(m), labels: in.labels}
}

func (r *refused) count(name, reason string) {
	r.counter.Add(background(), 1, metric.WithAttributeSet(r.labels.census.set(r.m, 1, name, reason)))
}

// histogram records one value at a time. It is used on one goroutine.
type histogram struct {
	m       *Metric
	h       metric.Float64Histogram
	lines   int // of a series in a scrape
	labels  *Labels
	spans   *SpanRegistry // where exemplars come from; nil: there are none
	refused *refused
	series  map[values][]metric.RecordOption
	last    []metric.RecordOption // of lastKey, which no guard had to fold
	lastKey values
}

// record records v for the series of k, or refuses it.
func (h *histogram) record(v float64, k values) { h.recordFor("", v, k) }

// recordFor is record of something that a session did, whose trace is the exemplar.
func (h *histogram) recordFor(session string, v float64, k values) {
	switch {
	case math.IsNaN(v):
		h.refused.count(h.m.Name, reasonNaN)
		return
	case v < 0:
		h.refused.count(h.m.Name, reasonNegative)
		return
	}
	opts := h.last
	if opts == nil || h.lastKey != k {
		opts = h.find(k)
	}
	h.h.Record(h.spans.within(session), v, opts...)
}

// find looks up or makes the series of k behind the label guard.
func (h *histogram) find(k values) []metric.RecordOption {
	raw := k
	for i, a := range h.m.Attributes {
		k[i] = h.labels.fold(a.Key, k[i])
	}
	opts, ok := h.series[k]
	if !ok {
		opts = []metric.RecordOption{metric.WithAttributeSet(h.labels.census.set(h.m, h.lines, k.of(h.m)...))}
		h.series[k] = opts
	}
	h.last = nil
	if raw == k { // what is folded is counted each time
		h.last, h.lastKey = opts, k
	}
	return opts
}

// since records the seconds from start to end for a session, which may be empty; a start
// that is not known gives no sample.
func (h *histogram) since(session string, start, end time.Time, k values) {
	if !start.IsZero() {
		h.recordFor(session, end.Sub(start).Seconds(), k)
	}
}
