package export_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/observe/export"
	"github.com/lmcache-go/lmcache/storage"
)

// A hand-computed workload gives exactly these values over HTTP; idle time changes nothing.
func TestREQ_O2_conformance(t *testing.T) {
	r := newScripted(t)
	script(t, r)
	first := series(r.scrape(t))
	if diff := cmp.Diff(scriptWant(), nonZero(first)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(first, series(r.scrape(t))); diff != "" {
		t.Errorf("a second scrape differs (-first +second):\n%s", diff)
	}
}

// Five ticks, two of them triggered; 3 keys written and 2 promoted.
func TestREQ_O3_ticksAndWrites(t *testing.T) {
	for _, mode := range []l1.Mode{l1.ModeExact, l1.ModeWatermark} {
		t.Run(string(mode), func(t *testing.T) {
			r := newRig(t, eventbus.Options{}, observe.Options{}, observe.Sources{})
			for i := range 5 {
				publish(r, l1.EvictionLoopTick{Mode: mode, Triggered: i == 0 || i == 3})
			}
			publish(r, l1.WriteFinished{Keys: someKeys(3), Origin: l1.OriginNew})
			publish(r, l1.WriteFinishedAndReadReserved{Keys: someKeys(2)})
			r.flush(t)
			got := series(r.scrape(t))
			for name, want := range map[string]float64{
				"lmcache_mp_l1_eviction_loop_ticks_total": 5, "lmcache_mp_l1_eviction_loop_triggered_total": 2, "lmcache_mp_l1_write_keys_total": 5,
			} {
				if got[name] != want {
					t.Errorf("%s = %v, want %v", name, got[name], want)
				}
			}
		})
	}
}

// A scrape after the script has every metric of the table and no other, each with
// its help, type and labels.
func TestREQ_O1_scrape(t *testing.T) {
	r := newScripted(t)
	script(t, r)
	families := r.scrape(t)
	type line struct{ Help, Type, Labels string }
	got, want := make(map[string]line), make(map[string]line)
	for name, f := range families {
		got[name] = line{f.GetHelp(), strings.ToLower(f.GetType().String()), strings.Join(labelKeys(f.Metric[0]), ",")}
	}
	delete(got, "target_info")
	for _, m := range observe.Metrics() {
		keys := m.Keys()
		slices.Sort(keys)
		want[m.PrometheusName()] = line{m.Help, m.Kind.PrometheusType(), strings.Join(keys, ",")}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-table +scrape):\n%s", diff)
	}
}

// observability_series is what a scrape has lines of, metric by metric.
func TestSeriesAreLines(t *testing.T) {
	r := newScripted(t)
	script(t, r)
	r.scrape(t) // those of gauges are known from here on
	got, want := make(map[string]int), make(map[string]int)
	for name, f := range r.scrape(t) {
		for _, m := range f.Metric {
			switch {
			case name == "target_info":
			case name == "lmcache_mp_observability_series":
				got[m.Label[0].GetValue()] = int(m.Gauge.GetValue())
			case m.Histogram != nil:
				want[name] += len(m.Histogram.Bucket) + 2
			default:
				want[name]++
			}
		}
	}
	for _, m := range observe.Metrics() {
		if n, ok := want[m.PrometheusName()]; ok && m.PrometheusName() != m.Name {
			delete(want, m.PrometheusName())
			want[m.Name] = n
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-lines +series):\n%s", diff)
	}
}

// REQ-O25: before the first request.
func TestZeroSeries(t *testing.T) {
	r := newRig(t, eventbus.Options{}, observe.Options{}, observe.Sources{Engine: &fakeEngine{lmcache.Stats{
		Models: []string{"m"}, Workers: []lmcache.WorkerStats{{EngineID: "1", Model: "m"}},
	}}})
	got := series(r.scrape(t)) // the very first one
	for _, name := range []string{
		`lmcache_mp_sm_read_requests_total`, `lmcache_mp_l1_evicted_keys_total`, `lmcache_mp_prefetch_jobs_expired_total`,
		`lmcache_mp_event_bus_dropped_events_total`, `lmcache_mp_event_bus_queue_depth`, `lmcache_mp_event_bus_drain_lag_seconds`,
		`lmcache_mp_l1_usage_ratio`, `lmcache_mp_active_prefetch_jobs`, `lmcache_mp_clock_steps_total`,
		`lmcache_mp_lookup_requested_tokens_total{cache_salt="",model_name="m"}`,
		`lmcache_mp_lookup_hit_tokens_total{cache_salt="",model_name="m"}`,
		`lmcache_mp_num_chunks_loaded_total{cache_salt="",model_name="m",worker_id="1"}`,
		`lmcache_mp_l1_allocation_failure_total{during="l1_store",model_name="m"}`,
		`lmcache_mp_l1_read_failure_total{during="l2_store",model_name="m",reason="not_found"}`,
		`lmcache_mp_chunk_misses_total{model_name="m",reason="absent"}`,
		`lmcache_mp_l2_store_tasks_total`, `lmcache_mp_l2_prefetch_hit_keys_total`, `lmcache_blend_lookup_requests_total`,
		`lmcache_mp_l2_prefetch_failure_total{model_name="m",reason="l1_oom"}`, `lmcache_mp_l2_evicted_objects_total{cache_salt=""}`,
		`lmcache_mp_subscriber_overflow_total{state="chunks",subscriber_name="L1LifecycleSubscriber"}`,
		`lmcache_mp_l1_removed_keys_total{cause="policy_delete"}`,
		`lmcache_mp_metrics_label_overflow_total{label="cache_salt"}`,
		`lmcache_mp_event_bus_dropped_events_by_type_total{class="reserved",event_type="mp.store.end"}`,
	} {
		if v, ok := got[name]; !ok || v != 0 {
			t.Errorf("%s = %v (there: %v), want 0", name, v, ok)
		}
	}
}

// REQ-O27: hostile salts survive the format, and are as many as the limit lets.
func TestHostileLabels(t *testing.T) {
	r := newRig(t, eventbus.Options{}, observe.Options{LabelLimit: 4}, observe.Sources{})
	hostile := []string{"", "a\nb", `q"uo\te`, "\xff\xfe", "} 1\nfake_total 7", "späť"}
	for i, salt := range hostile {
		publish(r, lmcache.LookupEnded{Model: "m", Salt: salt, RequestedTokens: 1 << i})
	}
	r.flush(t)
	families := r.scrape(t)
	if families["fake_total"] != nil {
		t.Error("a label value became a metric")
	}
	got := make(map[string]float64)
	for _, m := range families["lmcache_mp_lookup_requested_tokens_total"].Metric {
		got[m.Label[0].GetValue()] = m.Counter.GetValue()
	}
	want := map[string]float64{"": 1, "a\nb": 2, `q"uo\te`: 4, "\uFFFD": 8, "__other__": 16 + 32}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := series(families)[`lmcache_mp_metrics_label_overflow_total{label="cache_salt"}`]; n == 0 {
		t.Error("folding not counted")
	}
}

// A sample at the cap lands in the bucket of the cap, and not above it.
func TestREQ_O7_bucket(t *testing.T) {
	r := newScripted(t)
	r.bus.Drain(epoch)
	publish(r, l1.WriteFinished{Keys: someKeys(1)})
	publish(r, l1.KeysEvicted{Keys: someKeys(1), Cause: l1.CauseEvict})
	r.bus.Drain(epoch.Add(310 * time.Second))
	h := r.scrape(t)["lmcache_mp_l1_chunk_evict_reuse_gap_seconds"].Metric[0].Histogram
	for _, b := range h.Bucket {
		if want := b.GetUpperBound() >= 300; b.GetCumulativeCount() == 1 != want {
			t.Errorf("le=%v: %d", b.GetUpperBound(), b.GetCumulativeCount())
		}
	}
	if last := h.Bucket[len(h.Bucket)-2].GetUpperBound(); last != 300 { // then +Inf
		t.Errorf("the last bound is %v, want 300", last)
	}
}

// REQ-O29.
func TestBucketBounds(t *testing.T) {
	for buckets, want := range map[observe.Buckets]int{observe.Tuned: 22, observe.Default: 15} {
		r := newRig(t, eventbus.Options{}, observe.Options{Buckets: buckets}, observe.Sources{})
		publish(r, storage.PrefetchResolved{Elapsed: 5 * time.Second})
		r.flush(t)
		h := r.scrape(t)["lmcache_mp_operation_duration_seconds"].Metric[0].Histogram
		var got []float64
		for _, b := range h.Bucket {
			if b.GetCumulativeCount() > 0 != (b.GetUpperBound() >= 5) {
				t.Errorf("%s: 5 s in le=%v: %d", buckets, b.GetUpperBound(), b.GetCumulativeCount())
			}
			got = append(got, b.GetUpperBound())
		}
		if n := len(got) - 1; n != want { // one is +Inf
			t.Errorf("%s: %d bounds, want %d", buckets, n, want)
		}
		if diff := cmp.Diff(buckets.Bounds(observe.OperationGrid), got[:len(got)-1]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", buckets, diff)
		}
	}
}

// REQ-O23: the handler gives the same series wherever it is mounted.
func TestSameHandler(t *testing.T) {
	r := newScripted(t)
	script(t, r)
	w := httptest.NewRecorder()
	r.m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/elsewhere", http.NoBody))
	if diff := cmp.Diff(series(r.scrape(t)), series(parse(t, w.Body.String()))); diff != "" {
		t.Errorf("(-port +handler):\n%s", diff)
	}
}

// REQ-O20: two engines in one process do not see each other.
func TestTwoEngines(t *testing.T) {
	a := newScripted(t)
	b := newRig(t, eventbus.Options{}, observe.Options{}, observe.Sources{Engine: &fakeEngine{}})
	script(t, a)
	if diff := cmp.Diff(scriptWant(), nonZero(series(a.scrape(t)))); diff != "" {
		t.Errorf("the busy one (-want +got):\n%s", diff)
	}
	quiet := nonZero(series(b.scrape(t)))
	maps.DeleteFunc(quiet, func(s string, _ float64) bool {
		return strings.HasPrefix(s, "lmcache_mp_event_bus_queue_limit") || strings.HasPrefix(s, "lmcache_mp_config_info")
	})
	if len(quiet) > 0 {
		t.Errorf("the idle one: %v", quiet)
	}
}

// Drops show per type and in total, and add up.
func TestDrops(t *testing.T) {
	r := newRig(t, eventbus.Options{Queue: 4, Manual: true}, observe.Options{}, observe.Sources{})
	for range 10 {
		publish(r, l1.WriteFinished{Keys: someKeys(1)})
	}
	for range 6 {
		publish(r, lmcache.RequestEnded{}) // nobody listens: not a drop
		publish(r, lmcache.StoreEnded{Device: "d"})
	}
	got := series(r.scrape(t))
	for name, want := range map[string]float64{
		`lmcache_mp_event_bus_queue_depth`:                                                               8,
		`lmcache_mp_event_bus_queue_limit{class="bulk"}`:                                                 4,
		`lmcache_mp_event_bus_dropped_events_total`:                                                      8,
		`lmcache_mp_event_bus_dropped_events_by_type_total{class="bulk",event_type="l1.write.finished"}`: 6,
		`lmcache_mp_event_bus_dropped_events_by_type_total{class="reserved",event_type="mp.store.end"}`:  2,
		`lmcache_mp_l1_write_keys_total`:                                                                 0,
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	r.bus.Drain(epoch)
	got = series(r.scrape(t))
	if got[`lmcache_mp_l1_write_keys_total`] != 4 || got[`lmcache_mp_event_bus_queue_depth`] != 0 {
		t.Errorf("after draining: %v written, %v waiting", got[`lmcache_mp_l1_write_keys_total`], got[`lmcache_mp_event_bus_queue_depth`])
	}
}

// REQ-O21 on the way of a host's own provider, and of publishers and scrapers at
// once: no value is lost or counted twice.
func TestConcurrent(t *testing.T) {
	const publishers, events = 4, 500
	r := newRig(t, eventbus.Options{Queue: publishers * events}, observe.Options{LabelLimit: 3}, scriptSources())
	done := make(chan struct{})
	var scrapers, wg sync.WaitGroup
	for range 2 {
		scrapers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					w := httptest.NewRecorder()
					r.m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
				}
			}
		})
	}
	for p := range publishers {
		wg.Go(func() {
			topic := eventbus.TopicOf[lmcache.LookupEnded](r.bus)
			written := eventbus.TopicOf[l1.WriteFinished](r.bus)
			ks := someKeys(3)
			for i := range events {
				topic.Publish(lmcache.LookupEnded{Model: "m", Salt: fmt.Sprint((i + p) % 7), HitTokens: 2})
				written.Publish(l1.WriteFinished{Keys: ks})
			}
		})
	}
	wg.Wait()
	r.flush(t)
	close(done)
	scrapers.Wait()
	families := r.scrape(t)
	hits, values := 0.0, 0
	for _, m := range families["lmcache_mp_lookup_hit_tokens_total"].Metric {
		hits, values = hits+m.Counter.GetValue(), values+1
	}
	if dropped := series(families)["lmcache_mp_event_bus_dropped_events_total"]; dropped != 0 {
		t.Fatalf("%v events dropped", dropped)
	}
	if want := float64(2 * publishers * events); hits != want || values > 4 {
		t.Errorf("%v tokens under %d salts, want %v under at most 4", hits, values, want)
	}
	if got, want := series(families)["lmcache_mp_l1_write_keys_total"], float64(3*publishers*events); got != want {
		t.Errorf("%v keys, want %v", got, want)
	}
}

// After the bus is closed, what it delivered last is still there to be scraped.
func TestShutdownOrder(t *testing.T) {
	m, err := export.NewMetrics(export.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bus := eventbus.New(eventbus.Options{})
	ob, err := observe.Start(bus, m.MeterProvider(), observe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		eventbus.TopicOf[l1.WriteFinished](bus).Publish(l1.WriteFinished{Keys: someKeys(1)})
	}
	if err := bus.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ob.Close(); err != nil {
		t.Fatal(err)
	}
	_, body := fetch(t, listen(t, m), nil)
	if got := series(parse(t, body))["lmcache_mp_l1_write_keys_total"]; got != 100 {
		t.Errorf("%v, want 100", got)
	}
	if err := m.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}
