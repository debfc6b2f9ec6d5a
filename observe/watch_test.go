package observe

import (
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// fakeEngine gives the Stats it is told to.
type fakeEngine struct {
	stats  lmcache.Stats
	broken atomic.Bool
}

func (e *fakeEngine) Stats() lmcache.Stats {
	if e.broken.Load() {
		panic("broken")
	}
	return e.stats
}

type fakeStorage struct{ stats storage.Stats }

func (s fakeStorage) Stats() storage.Stats { return s.stats }

type fakeBus struct{ stats eventbus.Stats }

func (b fakeBus) Stats() eventbus.Stats { return b.stats }

func watchFor(t *testing.T, mp metric.MeterProvider, s Sources) (stop func()) {
	t.Helper()
	stop, err := Watch(mp, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return stop
}

// only are the series whose name begins with one of the prefixes.
func only(points map[string]float64, prefixes ...string) map[string]float64 {
	kept := maps.Clone(points)
	maps.DeleteFunc(kept, func(series string, _ float64) bool {
		for _, p := range prefixes {
			if strings.HasPrefix(series, p) {
				return false
			}
		}
		return true
	})
	return kept
}

// REQ-O13: every gauge equals Stats.
func TestREQ_O2_gauges(t *testing.T) {
	rec := newRecorder()
	e := &fakeEngine{stats: lmcache.Stats{ActivePrefetchJobs: 3, Loops: []lmcache.LoopStats{{Name: "l1_evictor", Stalled: 2 * time.Second}, {Name: "sessions"}}, Storage: storage.Stats{L1: l1.Stats{
		CapacityBytes: 1000, CommittedBytes: 800, PinnedBytes: 200, UsedBytes: 250, Objects: 9, ReadingObjects: 4, WritingObjects: 2, Watermark: 0.8,
	}}}}
	bus := fakeBus{eventbus.Stats{
		Bulk: eventbus.ClassStats{Events: 5, EventLimit: 70}, Reserved: eventbus.ClassStats{Events: 6, EventLimit: 80},
		Lag: 1500 * time.Millisecond, Dropped: 11, Stalled: 7 * time.Second,
		Busy: map[string]time.Duration{"A": 2500 * time.Millisecond}, Isolated: []eventbus.IsolatedStats{{Subscriber: "B", Stalled: time.Minute}},
		ClockSteps: 2, Panics: map[string]uint64{"A": 1, "B": 2},
		Types: []eventbus.TypeStats{
			{Name: "x", Class: eventbus.Bulk, Dropped: 7}, {Name: "y", Class: eventbus.Reserved, Dropped: 4, IsolatedDropped: 13},
		},
	}}
	watchFor(t, rec, Sources{Engine: e, Bus: bus, Build: Build{Version: "1.2", ConfigDigest: "abc"}})
	want := map[string]float64{
		nameActiveJobs: 3, nameL1UsageBytes: 250, nameL1UsageRatio: 0.25, nameL1Pinned: 0.25, nameL1Capacity: 1000, nameL1Watermark: 0.8,
		nameL1Objects + `{state="writing"}`: 2, nameL1Objects + `{state="ready"}`: 5, nameL1Objects + `{state="reading"}`: 4,
		nameBusDepth: 11, nameBusLag: 1.5, nameBusDropped: 11, nameClockSteps: 2,
		nameBusExceptions + `{subscriber_name="A"}`: 1, nameBusExceptions + `{subscriber_name="B"}`: 2,
		nameBusDroppedByType + `{class="bulk",event_type="x"}`:     7,
		nameBusDroppedByType + `{class="reserved",event_type="y"}`: 4,
		nameBusDroppedByType + `{class="isolated",event_type="y"}`: 13,
		nameBusLimit + `{class="bulk"}`:                            70, nameBusLimit + `{class="reserved"}`: 80,
		nameConfig + `{digest="abc"}`: 1, nameCPU + `{subscriber_name="A"}`: 2.5,
		nameLoops + `{loop="l1_evictor"}`: 2, nameLoops + `{loop="sessions"}`: 0, nameLoops + `{loop="event_bus"}`: 7, nameLoops + `{loop="B"}`: 60,
	}
	got := rec.scrape(t)
	for series := range only(got, nameSeries) { // TestSeries
		delete(got, series)
	}
	for series := range only(got, nameBuild) {
		if !strings.Contains(series, `version="1.2"`) || !strings.Contains(series, `go="go1.`) {
			t.Errorf("build info: %s", series)
		}
		delete(got, series)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	e.stats.Storage.L1.UsedBytes = 500
	if v := rec.scrape(t)[nameL1UsageRatio]; v != 0.5 {
		t.Errorf("ratio %v after a change, want 0.5", v)
	}
	e.stats.Storage.L1.CapacityBytes = 0
	if v, ok := rec.scrape(t)[nameL1UsageRatio]; !ok || v != 0 {
		t.Errorf("ratio %v (there: %v) with capacity 0, want 0", v, ok)
	}
}

func TestWatchStorageAlone(t *testing.T) {
	rec := newRecorder()
	watchFor(t, rec, Sources{Storage: fakeStorage{storage.Stats{L1: l1.Stats{UsedBytes: 7}}}})
	got := rec.scrape(t)
	if got[nameL1UsageBytes] != 7 {
		t.Errorf("usage %v, want 7", got[nameL1UsageBytes])
	}
	if extra := only(got, nameActiveJobs, nameBusDepth); len(extra) > 0 {
		t.Errorf("gauges of absent sources: %v", extra)
	}
}

// REQ-O13: a panicking callback loses its own metrics only, and is counted.
func TestPanickingGauge(t *testing.T) {
	rec := newRecorder()
	e := &fakeEngine{}
	e.broken.Store(true)
	watchFor(t, rec, Sources{Engine: e, Bus: fakeBus{eventbus.Stats{Dropped: 1}}})
	rec.scrape(t)
	got := rec.scrape(t)
	if v, ok := got[nameActiveJobs]; ok {
		t.Errorf("broken gauge has value %v", v)
	}
	if got[nameBusDropped] != 1 {
		t.Error("a gauge of another source was lost")
	}
	if n := got[nameInvalid+`{metric="lmcache_mp.active_prefetch_jobs",reason="panic"}`]; n < 1 {
		t.Errorf("counted %v times", n)
	}
	e.broken.Store(false)
	if _, ok := rec.scrape(t)[nameActiveJobs]; !ok {
		t.Error("does not come back")
	}
}

// Only the metric whose reading panics is lost, none of its source's others.
func TestPanickingReading(t *testing.T) {
	rec := newRecorder()
	w := &watch{}
	in, err := newInstruments(rec, MetricOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.refused = in.refused
	g := &group{w: w}
	for _, r := range []gauge{
		{nameBusDepth, func(_ *snapshot, to emit) { to(1); panic("half way") }},
		{nameBusLag, func(_ *snapshot, to emit) { to(-1) }},
		{nameBusDropped, func(_ *snapshot, to emit) { to(4) }},
	} {
		if err := g.add(rec.Meter(meterBus), find(r.name), r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.meter.RegisterCallback(g.observe, g.instruments...); err != nil {
		t.Fatal(err)
	}
	rec.scrape(t)
	got := rec.scrape(t) // counted by the first
	want := map[string]float64{
		nameBusDropped: 4,
		nameInvalid + `{metric="lmcache_mp.event_bus.queue_depth",reason="panic"}`:          2,
		nameInvalid + `{metric="lmcache_mp.event_bus.drain_lag_seconds",reason="negative"}`: 2,
	}
	if diff := cmp.Diff(want, nonZero(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// REQ-O20: a second Watch on one provider replaces the first, stopping removes, and providers do not mix.
func TestSecondWatchReplaces(t *testing.T) {
	a, b := newRecorder(), newRecorder()
	dropped := func(n uint64) Sources { return Sources{Bus: fakeBus{eventbus.Stats{Dropped: n}}} }
	stopFirst := watchFor(t, a, dropped(1))
	watchFor(t, b, dropped(2))
	stopSecond := watchFor(t, a, dropped(3))
	if x, y := a.scrape(t)[nameBusDropped], b.scrape(t)[nameBusDropped]; x != 3 || y != 2 {
		t.Errorf("got %v and %v, want 3 and 2", x, y)
	}
	stopFirst() // was replaced: nothing to stop
	if x := a.scrape(t)[nameBusDropped]; x != 3 {
		t.Errorf("stopping a replaced watch removed its successor: %v", x)
	}
	stopSecond()
	stopSecond()
	if got := only(a.scrape(t), nameBusDropped); len(got) > 0 || len(a.callbacks) > 0 {
		t.Errorf("after stop: %v", got)
	}
	if x := b.scrape(t)[nameBusDropped]; x != 2 {
		t.Errorf("another provider lost its gauges: %v", x)
	}
}

// failing refuses callbacks.
type failing struct{ *recorder }

func (f failing) Meter(name string, _ ...metric.MeterOption) metric.Meter {
	return failingMeter{&recMeter{r: f.recorder, name: name}}
}

type failingMeter struct{ *recMeter }

func (failingMeter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	return nil, errors.New("no callbacks today")
}

// unhashable cannot be a map key.
type unhashable struct {
	noop.MeterProvider
	_ []int
}

func TestWatchRefuses(t *testing.T) {
	if _, err := Watch(nil, Sources{}); !errors.Is(err, errNoProvider) {
		t.Errorf("without a provider: %v", err)
	}
	if _, err := Watch(failing{newRecorder()}, Sources{}); err == nil || !strings.Contains(err.Error(), "no callbacks today") {
		t.Errorf("provider that refuses: %v", err)
	}
	if _, err := Watch(unhashable{}, Sources{}); err == nil || !strings.Contains(err.Error(), "unhashable") {
		t.Errorf("provider that cannot be compared: %v", err)
	}
}

// REQ-O25: a model's and a worker's series appear at 0 once it is registered.
func TestZeroSeriesOfModels(t *testing.T) {
	rec, bus := newRecorder(), eventbus.New(eventbus.Options{Manual: true})
	ob := start(t, bus, rec, Options{LabelLimit: 2})
	e := &fakeEngine{}
	if err := ob.Watch(Sources{Engine: e, Bus: bus}); err != nil {
		t.Fatal(err)
	}
	modelled := []string{
		nameAllocFailure, nameReadFailure, nameRequestedTokens, nameHitTokens, nameHitL1, nameHitL2, nameLookups, nameEarlyExit,
		nameMisses, nameChunksLoaded,
	}
	if got := only(rec.scrape(t), modelled...); len(got) > 0 {
		t.Errorf("before any model: %v", got)
	}
	e.stats.Models = []string{"m"}
	e.stats.Workers = []lmcache.WorkerStats{{EngineID: "4", Model: "m"}}
	got := only(rec.scrape(t), modelled...)
	want := map[string]float64{nameChunksLoaded + `{cache_salt="",model_name="m",worker_id="4"}`: 0}
	for _, during := range []string{"l1_store", "l2_prefetch"} {
		want[nameAllocFailure+`{during="`+during+`",model_name="m"}`] = 0
	}
	for _, during := range []string{"l2_store", "l1_retrieve"} {
		for _, reason := range []string{"not_found", "write_locked"} {
			want[nameReadFailure+`{during="`+during+`",model_name="m",reason="`+reason+`"}`] = 0
		}
	}
	for _, name := range []string{nameRequestedTokens, nameHitTokens, nameHitL1, nameHitL2, nameLookups} {
		want[name+`{cache_salt="",model_name="m"}`] = 0
	}
	for _, reason := range []string{"no_gpu_context", "empty_chunk_hashes"} {
		want[nameEarlyExit+`{cache_salt="",model_name="m",reason="`+reason+`"}`] = 0
	}
	for _, reason := range missReasons() {
		want[nameMisses+`{model_name="m",reason="`+reason+`"}`] = 0
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	adds := rec.adds
	rec.scrape(t)
	if rec.adds != adds {
		t.Error("a known model is shown again at every scrape")
	}
	e.stats.Models = []string{"a", "b", "m"} // the guard is full with one of them
	rec.scrape(t)
	if n := rec.points[nameOverflow+`{label="model_name"}`]; n != 1 {
		t.Errorf("folded %v models, want 1", n)
	}
	if _, ok := rec.points[nameHitTokens+`{cache_salt="",model_name="__other__"}`]; !ok {
		t.Error("no series for folded models")
	}
}
