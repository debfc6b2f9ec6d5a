package export_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/observe/export"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// prompts are the keys of 256 prompts of 16 chunks, of which the usual share is in the sample.
func prompts() [][]kv.Key {
	pool := make([][]kv.Key, 256)
	for i := range pool {
		pool[i] = chunks(nil, uint64(i))
	}
	return pool
}

// mix publishes what n requests for prompts of 16 chunks make an engine publish that
// somebody of the default set hears: half of the prompt is found, the rest stored.
func mix(r *rig, n int) {
	pool := prompts()
	for i := range n {
		ks := pool[i%len(pool)]
		found, rest := ks[:8], ks[8:]
		publish(r, storage.ReadPrefetched{SucceededKeys: found, FailedKeys: rest})
		publish(r, storage.PrefetchResolved{Total: 16, PrefixLen: 8})
		publish(r, lmcache.LookupEnded{Model: "m", Salt: "s", RequestedTokens: 4096, HitTokens: 2048, SubmittedAt: epoch, ResolvedAt: epoch})
		publish(r, lmcache.RetrieveSubmitted{SessionID: "s", Device: "fake:0", OpID: "r"})
		publish(r, l1.ReadFinished{Keys: found})
		publish(r, storage.ReadPrefetchedFinished{SucceededKeys: found})
		publish(r, lmcache.RetrieveStarted{SessionID: "s", Device: "fake:0", OpID: "r"})
		publish(r, lmcache.RetrieveEnded{
			SessionID: "s", Device: "fake:0", EngineID: "1", Model: "m", Salt: "s", OpID: "r", RetrievedCount: 8, TotalBytes: 16 << 20,
			Success: true, SubmittedAt: epoch,
		})
		publish(r, l1.KeysEvicted{Keys: rest, Cause: l1.CauseEvict})
		publish(r, storage.WriteReserved{SucceededKeys: rest})
		publish(r, lmcache.StoreSubmitted{SessionID: "s", Device: "fake:0", OpID: "w"})
		publish(r, l1.WriteFinished{Keys: rest})
		publish(r, storage.WriteFinished{SucceededKeys: rest})
		publish(r, lmcache.StoreStarted{SessionID: "s", Device: "fake:0", OpID: "w"})
		publish(r, lmcache.StoreEnded{
			SessionID: "s", Device: "fake:0", EngineID: "1", Model: "m", OpID: "w", StoredCount: 8, TotalBytes: 16 << 20,
			Success: true, SubmittedAt: epoch,
		})
		publish(r, lmcache.SessionEnding{RequestID: "r"})
	}
}

// traffic publishes n events of each of the kinds that come with keys, and none
// of the rare ones.
func traffic(r *rig, n int) {
	pool := prompts()
	for i := range n {
		ks := pool[i%len(pool)]
		publish(r, storage.ReadPrefetched{SucceededKeys: ks})
		publish(r, l1.ReadFinished{Keys: ks})
		publish(r, storage.WriteReserved{SucceededKeys: ks})
		publish(r, l1.KeysEvicted{Keys: ks, Cause: l1.CauseEvict})
		publish(r, l1.WriteFinished{Keys: ks})
	}
}

// single publishes n times the events that come with keys, with one key each.
func single(r *rig, n int) {
	pool := prompts()
	for i := range n {
		k := pool[i%len(pool)][:1]
		publish(r, storage.ReadPrefetched{SucceededKeys: k})
		publish(r, l1.ReadFinished{Keys: k})
		publish(r, storage.WriteReserved{SucceededKeys: k})
		publish(r, l1.WriteFinished{Keys: k})
		publish(r, storage.WriteFinished{SucceededKeys: k})
	}
}

// requests publishes the events of n requests.
func requests(r *rig, n int) {
	for range n {
		publish(r, storage.PrefetchResolved{Total: 16, PrefixLen: 16})
		publish(r, lmcache.LookupEnded{Model: "m", Salt: "s", RequestedTokens: 1024, HitTokens: 1024, SubmittedAt: epoch, ResolvedAt: epoch})
		publish(r, lmcache.RetrieveSubmitted{Device: "fake:0"})
		publish(r, lmcache.RetrieveEnded{Device: "fake:0", EngineID: "1", Model: "m", Salt: "s", RetrievedCount: 4, SubmittedAt: epoch})
		publish(r, lmcache.StoreSubmitted{Device: "fake:0"})
		publish(r, lmcache.StoreEnded{Device: "fake:0", SubmittedAt: epoch})
	}
}

// idle hears what the default set hears, and does nothing.
type idle struct{}

func (idle) Name() string { return "Idle" }

func (idle) Subscribe(s *eventbus.Subscription) {
	hear[storage.ReadPrefetched](s)
	hear[storage.ReadPrefetchedFinished](s)
	hear[storage.WriteReserved](s)
	hear[storage.WriteFinished](s)
	hear[storage.PrefetchResolved](s)
	hear[l1.ReadFinished](s)
	hear[l1.WriteFinished](s)
	hear[l1.KeysEvicted](s)
	hear[lmcache.LookupEnded](s)
	hear[lmcache.RetrieveSubmitted](s)
	hear[lmcache.RetrieveStarted](s)
	hear[lmcache.RetrieveEnded](s)
	hear[lmcache.StoreSubmitted](s)
	hear[lmcache.StoreStarted](s)
	hear[lmcache.SessionEnding](s)
	hear[lmcache.StoreEnded](s)
}

func hear[E eventbus.Event](s *eventbus.Subscription) { eventbus.On(s, func(E, time.Time) {}) }

// What the default set costs the dispatcher per event, real instruments included;
// "mix" is the average over what a request publishes, with 1 % in the sample or all;
// "bus alone" is the part of it that the bus takes with a subscriber that does nothing.
func BenchmarkDispatch(b *testing.B) {
	for _, bench := range []struct {
		name   string
		events int
		run    func(*rig, int)
		alone  bool
		rate   float64
		bar    float64 // ns per event; 0: none
	}{
		{"mix/bus alone", 16, mix, true, 0, 0},
		{"mix/metrics", 16, mix, false, 0, 150},
		{"mix/all in the sample", 16, mix, false, 1, 0},
		{"keys/bus alone", 5, traffic, true, 0, 0},
		{"keys/metrics", 5, traffic, false, 0, 0},
		{"one key/bus alone", 5, single, true, 0, 0},
		{"one key/metrics", 5, single, false, 0, 500}, // 2 million a second
		{"requests/bus alone", 6, requests, true, 0, 0},
		{"requests/metrics", 6, requests, false, 0, 0},
	} {
		b.Run(bench.name, func(b *testing.B) {
			const n = 1000
			o := observe.Options{DisableMetrics: bench.alone, SampleRate: bench.rate}
			r := newRig(b, eventbus.Options{Queue: 20 * n, Manual: true}, o, observe.Sources{})
			if bench.alone {
				if _, err := r.bus.Subscribe(idle{}); err != nil {
					b.Fatal(err)
				}
			}
			bench.run(r, n)
			r.bus.Drain(epoch)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				bench.run(r, n)
				b.StartTimer()
				r.bus.Drain(epoch)
			}
			events := float64(b.N * n * bench.events)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/events, "ns/event")
			b.ReportMetric(events/b.Elapsed().Seconds()/1e6, "M-events/s")
			if bench.bar > 0 {
				b.ReportMetric(bench.bar, "ns-bar")
			}
		})
	}
}

// Handling an event of a known series allocates nothing, to the instrument and back.
func TestNoAllocations(t *testing.T) {
	r := newRig(t, eventbus.Options{Manual: true}, observe.Options{}, observe.Sources{})
	ks := someKeys(16)
	all := func() {
		publish(r, storage.ReadPrefetched{SucceededKeys: ks})
		publish(r, storage.WriteReserved{SucceededKeys: ks})
		publish(r, l1.ReadFinished{Keys: ks})
		publish(r, l1.WriteFinished{Keys: ks})
		publish(r, l1.KeysEvicted{Keys: ks, Cause: l1.CauseEvict})
		publish(r, l1.EvictionLoopTick{})
		publish(r, storage.AllocationFailed{During: storage.DuringL1Store, Keys: ks})
		requests(r, 2)
		r.bus.Drain(epoch)
	}
	for range 10 {
		all() // makes the series, and lets queues and slices grow
	}
	if n := testing.AllocsPerRun(100, all); n != 0 {
		t.Errorf("%v allocations per batch", n)
	}
}

// REQ: at most 20 ms with 200 tenants, and less than 50 ms with 10,000 series; each
// is answered in full. "libraries alone" is a counter with as many series of as many
// labels behind the same exporter and handler, with nothing of package observe: what
// the SDK, the exporter, the registry and the encoder take.
func BenchmarkScrape(b *testing.B) {
	for _, c := range []struct{ tenants, bar int }{{200, 20}, {2000, 50}} {
		b.Run(fmt.Sprintf("tenants=%d", c.tenants), func(b *testing.B) { benchScrape(b, c.tenants, c.bar) })
	}
}

func benchScrape(b *testing.B, tenants, bar int) {
	r := newRig(b, eventbus.Options{Queue: 4 * tenants, Manual: true}, observe.Options{LabelLimit: tenants}, scriptSources())
	for i := range tenants {
		publish(r, lmcache.LookupEnded{Model: "m", Salt: fmt.Sprintf("tenant-%d", i), RequestedTokens: 1, HitTokens: 1})
	}
	r.bus.Drain(epoch)
	r.scrape(b) // what gauges have is known from here on
	n := 0
	for _, m := range r.scrape(b)["lmcache_mp_observability_series"].Metric {
		n += int(m.Gauge.GetValue())
	}
	bare := open(b, export.Options{})
	counter, err := bare.MeterProvider().Meter("bare").Int64Counter("bare.tokens")
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		counter.Add(b.Context(), 1, metric.WithAttributes(attribute.String("cache_salt", fmt.Sprintf("tenant-%d", i)), attribute.String("model_name", "m")))
	}
	var took [2][]time.Duration
	b.ReportAllocs()
	for b.Loop() {
		for i, h := range [2]http.Handler{r.m.Handler(), bare.Handler()} {
			start := time.Now()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/metrics", http.NoBody))
			took[i] = append(took[i], time.Since(start))
		}
	}
	all, libraries := median(took[0]), median(took[1])
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(all.Seconds()*1e3, "ms")
	b.ReportMetric(float64(bar), "ms-bar")
	b.ReportMetric(float64(libraries)/float64(all), "libraries-alone")
	b.ReportMetric(float64(n), "series")
}
