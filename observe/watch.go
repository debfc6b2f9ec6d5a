package observe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
)

// EngineStats is an engine to watch. Stats is called at every scrape, from any
// goroutine, and must return in bounded time.
type EngineStats interface{ Stats() lmcache.Stats }

// StorageStats is a storage manager to watch; see EngineStats.
type StorageStats interface{ Stats() storage.Stats }

// BusStats is a bus to watch; see EngineStats.
type BusStats interface{ Stats() eventbus.Stats }

// SpanStatsSource is a span subscriber to watch; see EngineStats. It is a pointer.
type SpanStatsSource interface {
	Name() string
	Stats() SpanStats
}

// RecordCounts is a recorder of calls to watch: how many records it has written since
// it began, and how many it has lost, by reason. It is called at every scrape, from any
// goroutine.
type RecordCounts interface {
	Records() (written uint64, dropped map[string]uint64)
}

// Sources are the live objects whose state becomes gauges. A nil part has none.
type Sources struct {
	Engine     EngineStats
	Storage    StorageStats // a manager without an engine; ignored if Engine is set, which contains one
	Bus        BusStats
	Spans      []SpanStatsSource
	RequestLog *RequestLog
	Recorder   RecordCounts
	Labels     *Labels // guard shared with the subscribers of the provider; nil: that of the watch before, else everything passes
	Build      Build
}

// Watch registers the gauges of s, and the counters that a bus keeps of itself,
// on mp. They are read at scrape, from values no older than one change; nothing is
// copied in between. A reading that panics loses its metric for that scrape and is
// counted. When the engine has registered a model or worker, its series appear at 0.
//
// Watching a second time on one provider replaces what was watched before. stop
// removes the gauges; it is idempotent.
func Watch(mp metric.MeterProvider, s Sources) (stop func(), err error) {
	if mp == nil {
		return nil, errNoProvider
	}
	w := &watch{s: s}
	if err := watched.put(mp, w); err != nil {
		return nil, err
	}
	return func() { watched.remove(mp, w) }, nil
}

// watched finds the watch to replace. An OpenTelemetry provider cannot be asked
// what is registered on it, and replacing is promised per provider, not per
// caller; so the association is kept here. It holds no metric and no value.
var watched watches

type watches struct {
	mu sync.Mutex
	by map[metric.MeterProvider]*watch
}

// put starts w in place of what was there.
func (ws *watches) put(mp metric.MeterProvider, w *watch) (err error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("observe: watch: %T cannot be compared", mp)
		}
	}()
	old := ws.by[mp]
	if w.labels = w.s.Labels; w.labels == nil && old != nil {
		w.labels = old.labels
	}
	if err := w.open(mp); err != nil {
		return err
	}
	if old != nil {
		delete(ws.by, mp)
		old.stop()
	}
	if err := w.start(mp); err != nil {
		w.stop()
		return err
	}
	if ws.by == nil {
		ws.by = make(map[metric.MeterProvider]*watch)
	}
	ws.by[mp] = w
	return nil
}

// remove stops w, if it was not replaced.
func (ws *watches) remove(mp metric.MeterProvider, w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.by[mp] == w {
		delete(ws.by, mp)
		w.stop()
	}
}

// watch is one set of gauges on one provider.
type watch struct {
	s         Sources
	labels    *Labels
	refused   *refused
	known     *known // nil without an engine and a storage manager
	overflows []overflow
	groups    []*group
	regs      []metric.Registration
}

// open makes the counters that are moved at scrape.
func (w *watch) open(mp metric.MeterProvider) error {
	w.labels = w.labels.orAll()
	in, err := newInstruments(mp, MetricOptions{Labels: w.labels})
	if err != nil {
		return err
	}
	w.refused = in.refused
	if w.s.Engine != nil || w.s.Storage != nil {
		w.known = newKnown(in)
	}
	w.overflows = newOverflows(in, &w.s)
	return in.err()
}

// start registers one callback per meter: instruments of several cannot share one.
func (w *watch) start(mp metric.MeterProvider) error {
	var errs []error
	groups := make(map[string]*group)
	for _, g := range w.gauges() {
		m := find(g.name)
		key := m.Meter
		if g.name == nameSeries { // has a callback of its own behind all others, whose series it counts
			key = g.name
		}
		grp := groups[key]
		if grp == nil {
			grp = &group{w: w, first: len(w.groups) == 0}
			groups[key] = grp
			w.groups = append(w.groups, grp)
		}
		errs = append(errs, grp.add(mp.Meter(m.Meter), m, g))
	}
	for _, grp := range w.groups {
		reg, err := grp.meter.RegisterCallback(grp.observe, grp.instruments...)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		w.regs = append(w.regs, reg)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("observe: watch: %w", err)
	}
	return nil
}

func (w *watch) stop() {
	for _, r := range w.regs {
		_ = r.Unregister() // nothing to do about it, and the SDK's never fails
	}
	w.regs = nil
}

// group is the gauges of one meter.
type group struct {
	w           *watch
	first       bool // the one that passes overflows on
	meter       metric.Meter
	gauges      []*observable
	instruments []metric.Observable
}

// observable is a gauge with its instrument, of one of the two number types.
type observable struct {
	gauge
	m *Metric
	i metric.Int64Observable
	f metric.Float64Observable

	seen atomic.Int64 // series in the last scrape
}

// observables are all of w.
func (w *watch) observables() (all []*observable) {
	for _, g := range w.groups {
		all = append(all, g.gauges...)
	}
	return all
}

func (g *group) add(meter metric.Meter, m *Metric, r gauge) (err error) {
	g.meter = meter
	o := &observable{gauge: r, m: m}
	unit, help := metric.WithUnit(m.Unit), metric.WithDescription(m.Help)
	switch {
	case m.Kind == Gauge && m.Float:
		o.f, err = meter.Float64ObservableGauge(m.Name, unit, help)
		g.instruments = append(g.instruments, o.f)
	case m.Kind == Gauge:
		o.i, err = meter.Int64ObservableGauge(m.Name, unit, help)
		g.instruments = append(g.instruments, o.i)
	case m.Kind == ObservableCounter && m.Float:
		o.f, err = meter.Float64ObservableCounter(m.Name, unit, help)
		g.instruments = append(g.instruments, o.f)
	case m.Kind == ObservableCounter:
		o.i, err = meter.Int64ObservableCounter(m.Name, unit, help)
		g.instruments = append(g.instruments, o.i)
	default:
		panic("observe: " + m.Name + " is not observable")
	}
	g.gauges = append(g.gauges, o)
	return err
}

// point is one series of one scrape.
type point struct {
	v      float64
	values []string
}

// observe is the callback of one meter.
func (g *group) observe(_ context.Context, to metric.Observer) error {
	if g.first {
		for i := range g.w.overflows {
			g.w.overflows[i].pass(&g.w.labels.taken)
		}
	}
	sn := &snapshot{w: g.w}
	for _, o := range g.gauges {
		points, ok := o.points(sn)
		if !ok {
			g.w.refused.count(o.m.Name, reasonPanic)
			continue
		}
		seen := int64(0)
		for _, p := range points {
			seen++
			set := metric.WithAttributeSet(o.m.set(p.values...))
			switch {
			case p.v < 0:
				seen--
				g.w.refused.count(o.m.Name, reasonNegative)
			case math.IsNaN(p.v):
				seen--
				g.w.refused.count(o.m.Name, reasonNaN)
			case o.f != nil:
				to.ObserveFloat64(o.f, p.v, set)
			default:
				to.ObserveInt64(o.i, int64(p.v), set)
			}
		}
		o.seen.Store(seen)
	}
	return nil
}

// points reads the gauge; false: it panicked, or its source did.
func (o *observable) points(sn *snapshot) (points []point, ok bool) {
	defer func() {
		if recover() != nil {
			points, ok = nil, false
		}
	}()
	o.read(sn, func(v float64, values ...string) { points = append(points, point{v, values}) })
	return points, true
}
