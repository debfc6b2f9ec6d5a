package observe

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// recorder is a meter provider that keeps what it is given: an independent reading
// of the API, without the SDK.
type recorder struct {
	noop.MeterProvider
	mu        sync.Mutex
	created   map[string]instrument // by name
	points    map[string]float64    // counters: sum; histograms: sum; by series
	counts    map[string]int        // histograms
	samples   map[string][]float64  // histograms: every value, in order
	adds      int                   // calls of Add
	keys      map[string][]string   // attribute keys seen, by name
	callbacks []*callback           // in order of registration
}

// instrument is how one was made.
type instrument struct {
	meter, kind, unit, help string
	bounds                  []float64
}

func newRecorder() *recorder {
	return &recorder{
		created: make(map[string]instrument), points: make(map[string]float64), counts: make(map[string]int), samples: make(map[string][]float64),
		keys: make(map[string][]string),
	}
}

func (r *recorder) Meter(name string, _ ...metric.MeterOption) metric.Meter {
	return &recMeter{r: r, name: name}
}

func (r *recorder) create(name string, i instrument) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.created[name]; ok && (old.meter != i.meter || old.kind != i.kind || old.unit != i.unit || old.help != i.help) {
		panic(fmt.Sprintf("%s made twice, differently: %+v and %+v", name, old, i))
	}
	r.created[name] = i
}

// text is how the tests spell a series: name{key="value",…}, keys sorted.
func text(name string, set attribute.Set) string {
	if set.Len() == 0 {
		return name
	}
	s := name + "{"
	for it := set.Iter(); it.Next(); {
		if i, _ := it.IndexedAttribute(); i > 0 {
			s += ","
		}
		s += fmt.Sprintf("%s=%q", it.Attribute().Key, it.Attribute().Value.String())
	}
	return s + "}"
}

func (r *recorder) add(name string, v float64, set attribute.Set) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v < 0 || math.IsNaN(v) {
		panic(fmt.Sprintf("%s: %v reached the instrument", name, v))
	}
	r.adds++
	r.points[text(name, set)] += v
	r.counts[text(name, set)]++
	r.note(name, set)
}

// note checks that every point of an instrument has the same attribute keys.
func (r *recorder) note(name string, set attribute.Set) {
	var keys []string
	for it := set.Iter(); it.Next(); {
		keys = append(keys, string(it.Attribute().Key))
	}
	if old, ok := r.keys[name]; ok && !slices.Equal(old, keys) {
		panic(fmt.Sprintf("%s: attribute keys %q after %q", name, keys, old))
	}
	r.keys[name] = keys
}

// scrape returns all series: those of counters and histograms, and what the callbacks give now.
func (r *recorder) scrape(t testing.TB) map[string]float64 {
	t.Helper()
	r.mu.Lock()
	callbacks := slices.Clone(r.callbacks)
	r.mu.Unlock()
	obs := &observation{r: r, points: make(map[string]float64)}
	for _, c := range callbacks {
		if err := c.f(t.Context(), obs); err != nil {
			t.Fatalf("callback: %v", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(obs.points, r.points)
	return obs.points
}

type recMeter struct {
	noop.Meter
	r    *recorder
	name string
}

type recCounter struct {
	noop.Int64Counter
	r    *recorder
	name string
}

func (c recCounter) Add(_ context.Context, v int64, opts ...metric.AddOption) {
	c.r.add(c.name, float64(v), metric.NewAddConfig(opts).Attributes())
}

func (m *recMeter) Int64Counter(name string, opts ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	c := metric.NewInt64CounterConfig(opts...)
	m.r.create(name, instrument{meter: m.name, kind: "counter", unit: c.Unit(), help: c.Description()})
	return recCounter{r: m.r, name: name}, nil
}

type recHistogram struct {
	noop.Float64Histogram
	r    *recorder
	name string
}

func (h recHistogram) Record(_ context.Context, v float64, opts ...metric.RecordOption) {
	set := metric.NewRecordConfig(opts).Attributes()
	h.r.add(h.name, v, set)
	h.r.mu.Lock()
	defer h.r.mu.Unlock()
	h.r.samples[text(h.name, set)] = append(h.r.samples[text(h.name, set)], v)
}

func (m *recMeter) Float64Histogram(name string, opts ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	c := metric.NewFloat64HistogramConfig(opts...)
	m.r.create(name, instrument{
		meter: m.name, kind: "histogram", unit: c.Unit(), help: c.Description(), bounds: c.ExplicitBucketBoundaries(),
	})
	return recHistogram{r: m.r, name: name}, nil
}

// The observables carry their name as state.
type (
	recIntGauge struct {
		noop.Int64ObservableGauge
		name string
	}
	recFloatGauge struct {
		noop.Float64ObservableGauge
		name string
	}
	recIntCounter struct {
		noop.Int64ObservableCounter
		name string
	}
	recFloatCounter struct {
		noop.Float64ObservableCounter
		name string
	}
)

func (m *recMeter) Int64ObservableGauge(name string, opts ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	c := metric.NewInt64ObservableGaugeConfig(opts...)
	m.r.create(name, instrument{meter: m.name, kind: "gauge", unit: c.Unit(), help: c.Description()})
	return &recIntGauge{name: name}, nil
}

func (m *recMeter) Float64ObservableGauge(name string, opts ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	c := metric.NewFloat64ObservableGaugeConfig(opts...)
	m.r.create(name, instrument{meter: m.name, kind: "gauge", unit: c.Unit(), help: c.Description()})
	return &recFloatGauge{name: name}, nil
}

func (m *recMeter) Int64ObservableCounter(name string, opts ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	c := metric.NewInt64ObservableCounterConfig(opts...)
	m.r.create(name, instrument{meter: m.name, kind: "observable counter", unit: c.Unit(), help: c.Description()})
	return &recIntCounter{name: name}, nil
}

func (m *recMeter) Float64ObservableCounter(name string, opts ...metric.Float64ObservableCounterOption) (metric.Float64ObservableCounter, error) {
	c := metric.NewFloat64ObservableCounterConfig(opts...)
	m.r.create(name, instrument{meter: m.name, kind: "observable counter", unit: c.Unit(), help: c.Description()})
	return &recFloatCounter{name: name}, nil
}

type callback struct {
	noop.Registration
	r *recorder
	f metric.Callback
}

func (c *callback) Unregister() error {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.r.callbacks = slices.DeleteFunc(c.r.callbacks, func(o *callback) bool { return o == c })
	return nil
}

func (m *recMeter) RegisterCallback(f metric.Callback, _ ...metric.Observable) (metric.Registration, error) {
	c := &callback{r: m.r, f: f}
	m.r.mu.Lock()
	defer m.r.mu.Unlock()
	m.r.callbacks = append(m.r.callbacks, c)
	return c, nil
}

type observation struct {
	noop.Observer
	r      *recorder
	points map[string]float64
}

func (o *observation) put(name string, v float64, opts []metric.ObserveOption) {
	set := metric.NewObserveConfig(opts).Attributes()
	o.r.mu.Lock()
	defer o.r.mu.Unlock()
	o.r.note(name, set)
	if _, twice := o.points[text(name, set)]; twice {
		panic(text(name, set) + " observed twice")
	}
	o.points[text(name, set)] = v
}

func (o *observation) ObserveInt64(i metric.Int64Observable, v int64, opts ...metric.ObserveOption) {
	switch i := i.(type) {
	case *recIntGauge:
		o.put(i.name, float64(v), opts)
	case *recIntCounter:
		o.put(i.name, float64(v), opts)
	default:
		panic(fmt.Sprintf("unknown instrument %T", i))
	}
}

func (o *observation) ObserveFloat64(i metric.Float64Observable, v float64, opts ...metric.ObserveOption) {
	switch i := i.(type) {
	case *recFloatGauge:
		o.put(i.name, v, opts)
	case *recFloatCounter:
		o.put(i.name, v, opts)
	default:
		panic(fmt.Sprintf("unknown instrument %T", i))
	}
}
