package observe

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// start starts an Observer and closes it with the test.
func start(t testing.TB, bus *eventbus.Bus, mp metric.MeterProvider, o Options) *Observer {
	t.Helper()
	ob, err := Start(bus, mp, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(bus.Close(t.Context()), ob.Close()); err != nil && !errors.Is(err, t.Context().Err()) {
			t.Error(err)
		}
	})
	return ob
}

func publish[E eventbus.Event](b *eventbus.Bus, e E) {
	eventbus.TopicOf[E](b).PublishAt(e, epoch.Add(10*time.Second))
}

func keys(models ...string) []kv.Key {
	ks := make([]kv.Key, len(models))
	for i, m := range models {
		ks[i] = kv.Key{Hash: kv.Hash32([32]byte{byte(i)}), Model: m}
	}
	return ks
}

func someKeys(n int) []kv.Key { return keys(make([]string, n)...) }

// nonZero are the series that moved.
func nonZero(points map[string]float64) map[string]float64 {
	moved := maps.Clone(points)
	maps.DeleteFunc(moved, func(_ string, v float64) bool { return v == 0 })
	return moved
}

// A batch of many events reaches each instrument once.
func TestFlushesPerBatch(t *testing.T) {
	rec, bus := newRecorder(), eventbus.New(eventbus.Options{Manual: true})
	start(t, bus, rec, Options{})
	before := rec.adds
	for range 1000 {
		publish(bus, l1.WriteFinished{Keys: someKeys(2)})
	}
	bus.Drain(epoch)
	if got := rec.points[nameL1Write]; got != 2000 {
		t.Errorf("%s = %v, want 2000", nameL1Write, got)
	}
	if n := rec.adds - before; n > 10 {
		t.Errorf("%d additions for 1000 events", n)
	}
}

// REQ-O6.
func TestEarlyExit(t *testing.T) {
	rec, bus := newRecorder(), eventbus.New(eventbus.Options{Manual: true})
	start(t, bus, rec, Options{})
	publish(bus, lmcache.LookupEnded{Model: "m", Salt: "s", EarlyExitReason: "no_gpu_context", SubmittedAt: epoch, ResolvedAt: epoch})
	publish(bus, lmcache.LookupAbandoned{Reason: "expired"})
	bus.Drain(epoch)
	got := rec.scrape(t)
	for series, want := range map[string]float64{
		nameRequestedTokens + `{cache_salt="s",model_name="m"}`:                   0,
		nameHitTokens + `{cache_salt="s",model_name="m"}`:                         0,
		nameEarlyExit + `{cache_salt="s",model_name="m",reason="no_gpu_context"}`: 1,
		nameLookups + `{cache_salt="s",model_name="m"}`:                           1,
		nameOperation + `{op="lookup",outcome="early_exit"}`:                      0,
	} {
		if v, ok := got[series]; !ok || v != want {
			t.Errorf("%s = %v (there: %v), want %v", series, v, ok, want)
		}
	}
}

// REQ-O15 and REQ-O17, for the outcomes of a lookup.
func TestLookupOutcome(t *testing.T) {
	for _, c := range []struct {
		hit, requested int
		want           string
	}{{0, 512, "miss"}, {256, 512, "partial"}, {512, 512, "hit"}, {0, 0, "miss"}} {
		if got := share(c.hit, c.requested); got != c.want {
			t.Errorf("share(%d, %d) = %s, want %s", c.hit, c.requested, got, c.want)
		}
	}
}

// REQ-O21. The recorder panics if a refused value reaches an instrument.
func TestInvalidSamples(t *testing.T) {
	rec, bus := newRecorder(), eventbus.New(eventbus.Options{Manual: true})
	start(t, bus, rec, Options{})
	publish(bus, lmcache.LookupEnded{Model: "m", HitTokens: -1, SubmittedAt: epoch.Add(time.Hour), ResolvedAt: epoch})
	publish(bus, lmcache.StoreEnded{Device: "d"}) // not known when submitted: no sample, and nothing invalid
	publish(bus, lmcache.RetrieveEnded{Device: "d", RetrievedCount: -5})
	bus.Drain(epoch)
	want := map[string]float64{
		nameInvalid + `{metric="lmcache_mp.lookup_hit_tokens",reason="negative"}`:          1,
		nameInvalid + `{metric="lmcache_mp.operation_duration_seconds",reason="negative"}`: 1,
		nameInvalid + `{metric="lmcache_mp.num_chunks_loaded",reason="negative"}`:          1,
		nameLookups + `{cache_salt="",model_name="m"}`:                                     1,
		nameFinishedStores + `{device="d"}`:                                                1,
		nameFinishedRetrieves + `{device="d"}`:                                             1,
	}
	if diff := cmp.Diff(want, nonZero(rec.scrape(t))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	in, err := newInstruments(rec, MetricOptions{})
	if err != nil {
		t.Fatal(err)
	}
	in.histogram(nameOperation).record(math.NaN(), values{opStore, outcomeOK})
	in.single(nameL1Read).add(-1)
	got := rec.scrape(t)
	if got[nameInvalid+`{metric="lmcache_mp.operation_duration_seconds",reason="nan"}`] != 1 ||
		got[nameInvalid+`{metric="lmcache_mp.l1_read_keys",reason="negative"}`] != 1 {
		t.Errorf("NaN or negative increment not counted: %v", nonZero(got))
	}
}

// REQ-O25, for what is known without an engine.
func TestZeroSeries(t *testing.T) {
	rec, bus := newRecorder(), eventbus.New(eventbus.Options{Manual: true})
	start(t, bus, rec, Options{})
	got := slices.Sorted(maps.Keys(rec.scrape(t)))
	var want []string
	for _, m := range Metrics() {
		if m.Kind == Counter && len(m.Attributes) == 0 {
			want = append(want, m.Name)
		}
	}
	for _, cause := range []string{"evict", "policy_delete", "temp_release", "prefetch_cleanup", "delete", "clear"} {
		want = append(want, nameRemoved+`{cause="`+cause+`"}`)
	}
	want = append(want,
		nameLeaseExpired+`{kind="read"}`, nameLeaseExpired+`{kind="write"}`,
		nameTimeouts+`{exception_type="prefetch_deadline"}`, nameTimeouts+`{exception_type="l2_load"}`,
		nameOverflow+`{label="cache_salt"}`, nameOverflow+`{label="model_name"}`)
	for _, of := range [][2]string{
		{"L0LifecycleSubscriber", "blocks"},
		{"L0LifecycleSubscriber", "requests"},
		{"L1LifecycleSubscriber", "chunks"},
		{"LatencyMetricsSubscriber", "stores"},
		{"LatencyMetricsSubscriber", "loads"},
		{"L2ThroughputSubscriber", "stores"},
		{"L2ThroughputSubscriber", "loads"},
		{"L1LifecycleSubscriber", "evicted"},
		{"L0L1ThroughputSubscriber", "stores"},
		{"L0L1ThroughputSubscriber", "loads"},
		{"SMLifecycleSubscriber", "chunks"},
		{"SMLifecycleSubscriber", "salts"},
	} {
		want = append(want, fmt.Sprintf("%s{state=%q,subscriber_name=%q}", nameSubscriberOverflow, of[1], of[0]))
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Each subscriber works alone, and names itself as its type.
func TestSubscribersAlone(t *testing.T) {
	rec := newRecorder()
	subs, err := Subscribers(rec, MetricOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range subs {
		names = append(names, s.Name())
		bus := eventbus.New(eventbus.Options{Manual: true})
		sub, err := bus.Subscribe(s)
		if err != nil {
			t.Fatalf("%s: %v", s.Name(), err)
		}
		publish(bus, lmcache.LookupEnded{Model: "m"})
		bus.Drain(epoch)
		sub.Close()
		if n := bus.Stats().Panics; len(n) > 0 {
			t.Errorf("%s: %v", s.Name(), n)
		}
	}
	want := []string{
		"L0LifecycleSubscriber", "L1MetricsSubscriber", "L1LifecycleSubscriber", "L1FailureMetricsSubscriber", "L1EvictionLoopSubscriber",
		"L0L1ThroughputSubscriber", "L2MetricsSubscriber", "L2FailureMetricsSubscriber", "L2ThroughputSubscriber", "LookupMetricsSubscriber", "SMMetricsSubscriber", "SMLifecycleSubscriber", "BlendMetricsSubscriber",
		"EngineMetricsSubscriber",
		"CauseMetricsSubscriber", "TransferMetricsSubscriber", "LatencyMetricsSubscriber",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// REQ-O55, for the switches that exist.
func TestOff(t *testing.T) {
	for name, o := range map[string]Options{"disabled": {Disable: true}, "no metrics": {DisableMetrics: true}} {
		t.Run(name, func(t *testing.T) {
			rec, bus := newRecorder(), eventbus.New(eventbus.Options{Manual: true})
			ob := start(t, bus, rec, o)
			if err := ob.Watch(Sources{Bus: bus}); err != nil {
				t.Fatal(err)
			}
			if len(rec.created) > 0 || eventbus.TopicOf[l1.WriteFinished](bus).Active() || ob.Labels() != nil {
				t.Errorf("something was made: %v", rec.created)
			}
		})
	}
}

func TestStartRefuses(t *testing.T) {
	bus := eventbus.New(eventbus.Options{Manual: true})
	_, err := Start(bus, newRecorder(), Options{QueueSize: -1, PrometheusPort: 70000, Buckets: "x", LabelLimit: -3})
	for _, want := range []string{"queue size -1", "prometheus port 70000", `buckets: "x"`, "label limit -3"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %q", err, want)
		}
	}
	if _, err := Start(bus, nil, Options{}); !errors.Is(err, errNoProvider) {
		t.Errorf("without a provider: %v", err)
	}
	if _, err := Subscribers(nil, MetricOptions{}); !errors.Is(err, errNoProvider) {
		t.Errorf("without a provider: %v", err)
	}
	if _, err := NewSMMetricsSubscriber(nil, MetricOptions{}); !errors.Is(err, errNoProvider) {
		t.Errorf("without a provider: %v", err)
	}
	if err := bus.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(bus, newRecorder(), Options{}); !errors.Is(err, eventbus.ErrClosed) {
		t.Errorf("on a closed bus: %v", err)
	}
}

// Close ends what Start began; twice is fine.
func TestObserverClose(t *testing.T) {
	rec, bus := newRecorder(), eventbus.New(eventbus.Options{Manual: true})
	ob := start(t, bus, rec, Options{})
	if err := ob.Watch(Sources{Bus: bus}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(ob.Close(), ob.Close()); err != nil {
		t.Fatal(err)
	}
	if eventbus.TopicOf[l1.WriteFinished](bus).Active() || len(rec.callbacks) > 0 {
		t.Error("still observing")
	}
	if err := ob.Watch(Sources{Bus: bus}); err != nil || len(rec.callbacks) > 0 {
		t.Errorf("watches after Close: %v", err)
	}
	for _, ob := range []*Observer{nil, {}} {
		if err := errors.Join(ob.Watch(Sources{Bus: bus}), ob.Close()); err != nil || ob.Labels() != nil {
			t.Error(err)
		}
	}
}

func TestOptionsDefaults(t *testing.T) {
	if err := (Options{}).Validate(); err != nil {
		t.Error(err)
	}
	want := Options{QueueSize: 10000, PrometheusHost: "0.0.0.0", PrometheusPort: 9090, Buckets: Tuned, Compat: CompatNone, LabelLimit: 200, SampleRate: 0.01}
	if diff := cmp.Diff(want, Options{}.WithDefaults()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if b := (Options{Disable: true}).Bus(nil); b.Queue != 10000 || !b.Disabled {
		t.Errorf("bus options %+v", b)
	}
	for port, want := range map[int]int{0: 9090, AnyPort: 0, 80: 80} {
		if host, got := (Options{PrometheusPort: port}).Listen(); host != "0.0.0.0" || got != want {
			t.Errorf("port %d: %s %d, want %d", port, host, got, want)
		}
	}
	set := Options{QueueSize: 1, PrometheusHost: "h", PrometheusPort: AnyPort, Buckets: Default, Compat: CompatLater, LabelLimit: 2, SampleRate: 1}
	if diff := cmp.Diff(set, set.WithDefaults()); diff != "" || set.Validate() != nil {
		t.Errorf("%v (-want +got):\n%s", set.Validate(), diff)
	}
}
