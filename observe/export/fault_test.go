package export_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/observe/export"
	"github.com/lmcache-go/lmcache/storage"
)

// faulty is a meter provider whose instruments panic once it is armed.
type faulty struct {
	noop.MeterProvider
	armed  atomic.Bool
	panics atomic.Int64
}

func (f *faulty) Meter(string, ...metric.MeterOption) metric.Meter { return faultyMeter{f: f} }

func (f *faulty) use() {
	if f.armed.Load() {
		f.panics.Add(1)
		panic("instrument")
	}
}

type faultyMeter struct {
	noop.Meter
	f *faulty
}

type faultyCounter struct {
	noop.Int64Counter
	f *faulty
}

func (c faultyCounter) Add(context.Context, int64, ...metric.AddOption) { c.f.use() }

func (m faultyMeter) Int64Counter(string, ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return faultyCounter{f: m.f}, nil
}

type faultyHistogram struct {
	noop.Float64Histogram
	f *faulty
}

func (h faultyHistogram) Record(context.Context, float64, ...metric.RecordOption) { h.f.use() }

func (m faultyMeter) Float64Histogram(string, ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return faultyHistogram{f: m.f}, nil
}

// hostile panics wherever the bus calls it.
type hostile struct{ panics *atomic.Int64 }

func (hostile) Name() string { return "Hostile" }

func (h hostile) Subscribe(s *eventbus.Subscription) {
	fail[storage.ReadPrefetched](s, h)
	fail[storage.ReadPrefetchedFinished](s, h)
	fail[storage.PrefetchResolved](s, h)
	fail[storage.WriteReserved](s, h)
	fail[storage.WriteFinished](s, h)
	fail[l1.ReadFinished](s, h)
	fail[l1.WriteFinished](s, h)
	fail[l1.KeysEvicted](s, h)
	fail[lmcache.LookupEnded](s, h)
	fail[lmcache.RetrieveEnded](s, h)
	fail[lmcache.StoreEnded](s, h)
	fail[lmcache.RequestEnded](s, h)
	s.AfterBatch(h.fail)
	s.Every(time.Millisecond, func(time.Time) { h.fail() })
}

func (h hostile) Close() error {
	h.fail()
	return nil
}

func (h hostile) fail() {
	h.panics.Add(1)
	panic("hostile")
}

func fail[E eventbus.Event](s *eventbus.Subscription, h hostile) {
	eventbus.On(s, func(E, time.Time) { h.fail() })
}

// outcome is what a run of requests came to.
type outcome struct {
	L1      [5]int64 // objects, used bytes, evicted objects, evicted bytes, open leases
	Workers [4]int64 // submitted and finished stores and retrieves
}

// run serves the same requests each time; serve fails on another result than these.
func (h *host) run() outcome {
	h.serve(prompt(0, 48), 0)
	h.serve(prompt(0, 64), 48)
	h.serve(prompt(1000, 32), 0)
	h.serve(prompt(2000, 5), 0)
	h.serve(prompt(1000, 48), 32)
	st := h.eng.Stats()
	w := st.Workers[0]
	return outcome{
		L1: [5]int64{
			st.Storage.L1.Objects, st.Storage.L1.UsedBytes, st.Storage.L1.EvictedObjects, st.Storage.L1.EvictedBytes, int64(st.Storage.L1.Leases),
		},
		Workers: [4]int64{w.StoresSubmitted, w.StoresFinished, w.RetrievesSubmitted, w.RetrievesFinished},
	}
}

// Instruments and subscribers that panic at every call, a bus that has room for one
// event, and a scrape whose sources panic leave all results as they are without a bus.
func TestREQ_O41_metrics(t *testing.T) {
	want := newHostOn(t, nil).run()
	if want.L1[2] == 0 || want.Workers[2] != 2 {
		t.Fatalf("the run evicts and retrieves too little: %+v", want)
	}
	check := func(t *testing.T, bus *eventbus.Bus) {
		t.Helper()
		if diff := cmp.Diff(want, newHostOn(t, bus).run()); diff != "" {
			t.Errorf("(-without a bus +with):\n%s", diff)
		}
		if err := bus.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	t.Run("instruments", func(t *testing.T) {
		f := &faulty{}
		bus := eventbus.New(eventbus.Options{})
		ob, err := observe.Start(bus, f, observe.Options{SampleRate: 1})
		if err != nil {
			t.Fatal(err)
		}
		f.armed.Store(true)
		check(t, bus)
		if err := bus.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := ob.Close(); err != nil {
			t.Error(err)
		}
		if f.panics.Load() == 0 {
			t.Error("no instrument was used")
		}
	})
	t.Run("subscribers", func(t *testing.T) {
		var panics atomic.Int64
		bus := eventbus.New(eventbus.Options{})
		if _, err := bus.Subscribe(hostile{&panics}); err != nil {
			t.Fatal(err)
		}
		check(t, bus)
		if err := bus.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if panics.Load() < 30 {
			t.Errorf("only %d panics", panics.Load())
		}
	})
	t.Run("no room", func(t *testing.T) {
		r := newRig(t, eventbus.Options{Queue: 1}, observe.Options{SampleRate: 1}, observe.Sources{})
		check(t, r.bus)
	})
	t.Run("sources", func(t *testing.T) {
		r := newRig(t, eventbus.Options{}, observe.Options{SampleRate: 1}, observe.Sources{Engine: panicking{}})
		check(t, r.bus)
		if n := series(r.scrape(t))[`lmcache_mp_invalid_samples_total{metric="lmcache_mp.active_prefetch_jobs",reason="panic"}`]; n == 0 {
			t.Error("the lost gauge is not counted")
		}
	})
	t.Run("exporter", func(t *testing.T) {
		m, err := export.NewMetrics(export.Options{})
		if err != nil {
			t.Fatal(err)
		}
		bus := eventbus.New(eventbus.Options{})
		if _, err := observe.Start(bus, m.MeterProvider(), observe.Options{SampleRate: 1}); err != nil {
			t.Fatal(err)
		}
		if err := m.Shutdown(t.Context()); err != nil { // it is gone before the first event
			t.Fatal(err)
		}
		check(t, bus)
		if err := bus.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// panicking is an engine that cannot say how it is.
type panicking struct{}

func (panicking) Stats() lmcache.Stats { panic("no stats") }
