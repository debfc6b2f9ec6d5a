package export_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/storage"
)

// traffic publishes n events of each of the kinds that come with keys, and none
// of the rare ones.
func traffic(r *rig, n int) {
	ks := someKeys(16)
	for range n {
		publish(r, storage.ReadPrefetched{SucceededKeys: ks})
		publish(r, l1.ReadFinished{Keys: ks})
		publish(r, storage.WriteReserved{SucceededKeys: ks})
		publish(r, l1.KeysEvicted{Keys: ks, Cause: l1.CauseEvict})
		publish(r, l1.WriteFinished{Keys: ks})
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
	hear[storage.WriteReserved](s)
	hear[storage.PrefetchResolved](s)
	hear[l1.ReadFinished](s)
	hear[l1.WriteFinished](s)
	hear[l1.KeysEvicted](s)
	hear[lmcache.LookupEnded](s)
	hear[lmcache.RetrieveSubmitted](s)
	hear[lmcache.RetrieveEnded](s)
	hear[lmcache.StoreSubmitted](s)
	hear[lmcache.StoreEnded](s)
}

func hear[E eventbus.Event](s *eventbus.Subscription) { eventbus.On(s, func(E, time.Time) {}) }

// What the default set costs the dispatcher per event, real instruments included;
// "bus alone" is the part of it that the bus takes with a subscriber that does nothing.
func BenchmarkDispatch(b *testing.B) {
	for _, bench := range []struct {
		name   string
		events int
		run    func(*rig, int)
		alone  bool
	}{
		{"keys/bus alone", 5, traffic, true},
		{"keys/metrics", 5, traffic, false},
		{"requests/bus alone", 6, requests, true},
		{"requests/metrics", 6, requests, false},
	} {
		b.Run(bench.name, func(b *testing.B) {
			const n = 1000
			r := newRig(b, eventbus.Options{Queue: 10 * n, Manual: true}, observe.Options{DisableMetrics: bench.alone}, observe.Sources{})
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
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n*bench.events), "ns/event")
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

// A scrape of 10,000 series, answered in full.
func BenchmarkScrape(b *testing.B) {
	r := newRig(b, eventbus.Options{Manual: true}, observe.Options{LabelLimit: 2000}, observe.Sources{})
	for i := range 2000 {
		publish(r, lmcache.LookupEnded{Model: "m", Salt: fmt.Sprintf("tenant-%d", i), RequestedTokens: 1, HitTokens: 1})
	}
	r.bus.Drain(epoch)
	families := r.scrape(b)
	n := 0
	for _, f := range families {
		n += len(f.Metric)
	}
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		r.m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/metrics", http.NoBody))
	}
	b.ReportMetric(float64(n), "series")
}
