package top_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/top"
)

// What is computed of the two pages, which are ten seconds apart, by hand.
func TestBuild(t *testing.T) {
	f := frame(t)
	all := top.Throughput{P50: 3, Mean: 3, All: true} // two loads between 2 and 4, 6 GB/s together, before both
	want := &top.Frame{
		URL: top.DefaultURL, At: start.Add(interval), Seconds: 10, Version: "0.1.0",
		Uptime: top.Number(start.Add(interval).Unix() - 1767200000), SlowAfter: 1,
		Warnings: []string{
			"loop session_sweep stands still for 1m35s", "7 keys got no L1 memory", "40 events were dropped: metrics are too low",
			"the event bus is 2.50s behind",
		},
		Hits: top.Hits{
			Rates:  top.Rates{Lookups: 0.6, Requested: 500, Hit: 0.62, HitL1: 0.48, HitL2: 0.14, Tokens: 21000, HitTotal: 9300.0 / 21000},
			Hit10s: none, Hit1m: none,
		},
		Models: []top.Model{
			{"llama", top.Rates{Lookups: 0.6, Requested: 500, Hit: 0.62, HitL1: 0.48, HitL2: 0.14, Tokens: 17000, HitTotal: 8300.0 / 17000}},
			{"qwen", top.Rates{Lookups: 0, Requested: 0, Hit: none, HitL1: none, HitL2: none, Tokens: 4000, HitTotal: 0.25}},
		},
		Tenants: []top.Tenant{
			{"red", top.Rates{Lookups: 0.4, Requested: 400, Hit: 0.75, HitL1: 0.6, HitL2: 0.15, Tokens: 18000, HitTotal: 0.5}},
			{"blue", top.Rates{Lookups: 0.2, Requested: 100, Hit: 0.1, HitL1: 0, HitL2: 0.1, Tokens: 3000, HitTotal: 0.1}},
		},
		L1: top.L1{
			Used: 8 << 30, Capacity: 10 << 30, Ratio: 0.8, Watermark: 0.9, Pinned: 1, Writing: 3, Ready: 4000, Reading: 12,
			Written: 40, Read: 10, Evicted: 5, EvictedTotal: 12050, Removed: 2, AllocationFailures: 7, ReadFailures: 0, ExpiredLeases: 1,
		},
		L2: []top.Tier{
			{
				Name: "fs", Adapters: []top.Adapter{{"0", 4, 2, 8 << 20}, {"2", 1, 0, 0}}, Stores: 4, Loads: 0.3,
				StoreGBs: nothing, LoadGBs: nothing, Used: 4e9, Capacity: 1e10,
			},
			{
				Name: "s3", Adapters: []top.Adapter{{"1", 2, 0, 0}}, Stores: 0.4, Loads: 0,
				StoreGBs: nothing, LoadGBs: nothing, Used: none, Capacity: none,
			},
		},
		InFlight: top.InFlight{Prefetches: 3, Expired: 0, Devices: []top.Device{{
			Name: "cuda:0", Stores: 2, Retrieves: 1,
			StoreGBs: top.Throughput{P50: 2, Mean: 2}, // four: two up to 2 GB/s, two up to 4
			LoadGBs:  all,
		}}},
		Latency: []top.Operation{
			// 100 lookups: 50 up to 1 ms, 40 up to 10 ms, 10 up to 100 ms. 95 of 100 lie in the
			// middle of the last 10.
			{Name: "lookup", PerSecond: 10, Failed: 0, P50: 0.001, P95: 0.055, P99: 0.091, Total: 210},
			{Name: "retrieve", PerSecond: 0, Failed: 0, P50: none, P95: none, P99: none, Total: 5},
			// 5 stores: 4 up to 10 s, and one above all bounds.
			{Name: "store", PerSecond: 0.5, Failed: 0.1, P50: 1 + 9*2.5/4, P95: 60, P99: 60, Beyond: true, Total: 10},
		},
		Slow: []top.Slow{
			{Name: "store", Outcome: "ok", Now: 4, Total: 4, From: 60, To: top.Number(math.Inf(1))},
			{Name: "store", Outcome: "failed", Now: 1, Total: 1, From: 1, To: 10},
			{Name: "retrieve", Outcome: "ok", Now: 0, Total: 1, From: 1, To: 10},
		},
		Misses: []top.Miss{
			{Reason: "absent", PerSecond: 3, Share: 0.75, Total: 130},
			{Reason: "evicted", PerSecond: 1, Share: 0.25, Total: 50},
			{Reason: "under_chunk_size", PerSecond: 0, Share: 0, Total: 5},
		},
		Bus: top.Bus{
			Depth: 120, Limit: 10000, Lag: 2.5, Dropped: 4, DroppedTotal: 40, Panics: 0, Overflow: none, Folded: none,
			Drops: []top.Drop{
				{"l1.read.finished", "bulk", 3, 30},
				{"sm.read.prefetched", "bulk", 1, 10},
				{"mp.request.receipt", "isolated", 0, 9},
			},
		},
		Loops: []top.Loop{{"session_sweep", 95, true}, {"l1_eviction", 0.4, false}},
	}
	if diff := cmp.Diff(want, f, numbers); diff != "" {
		t.Errorf("frame (-want +got):\n%s", diff)
	}
}

// nothing is the throughput of a tier that has none in the pages.
var nothing = top.Throughput{P50: none, Mean: none, All: true}

// The first scrape has totals and no rates.
func TestFirstFrame(t *testing.T) {
	f := top.Build(nil, file(t, "before.txt", start), top.Options{})
	if f.Seconds.Known() || f.Hits.Requested.Known() || f.Hits.Hit.Known() || f.L1.Written.Known() || f.Latency[0].P50.Known() {
		t.Errorf("rates without a scrape before: %+v, %+v, %+v", f.Hits, f.L1, f.Latency[0])
	}
	if f.Hits.Tokens != 16000 || f.L1.EvictedTotal != 12000 || f.Latency[0].Total != 110 {
		t.Errorf("totals: %+v, %+v, %+v", f.Hits, f.L1, f.Latency[0])
	}
	if f.Misses[0].Share != top.Number(100.0/145) {
		t.Errorf("share of all misses: %v", f.Misses[0].Share)
	}
}

const page = `# TYPE process_start_time_seconds gauge
process_start_time_seconds %START%
# TYPE lmcache_mp_lookup_requested_tokens_total counter
lmcache_mp_lookup_requested_tokens_total{cache_salt="a",model_name="m"} %N%
# TYPE lmcache_mp_operation_duration_seconds histogram
lmcache_mp_operation_duration_seconds_bucket{op="lookup",outcome="hit",le="1"} %N%
lmcache_mp_operation_duration_seconds_bucket{op="lookup",outcome="hit",le="+Inf"} %N%
lmcache_mp_operation_duration_seconds_sum{op="lookup",outcome="hit"} 1
lmcache_mp_operation_duration_seconds_count{op="lookup",outcome="hit"} %N%
`

func pageOf(started time.Time, n string) string {
	return strings.NewReplacer("%START%", started.Format("20060102")+"00", "%N%", n).Replace(page)
}

// Counters that begin anew, with or without the process being known to be another one.
func TestReset(t *testing.T) {
	old, later := start.Add(-48*time.Hour), start
	for _, c := range []struct {
		name          string
		before, after string
		want          top.Number // tokens and lookups per second
	}{
		{"on", pageOf(old, "100"), pageOf(old, "150"), 5},
		{"nothing happened", pageOf(old, "100"), pageOf(old, "100"), 0},
		{"fell", pageOf(old, "100"), pageOf(old, "30"), 3},
		{"another process, higher", pageOf(old, "100"), pageOf(later, "150"), 15},
	} {
		f := top.Build(scrape(t, c.before, start), scrape(t, c.after, start.Add(interval)), top.Options{})
		if f.Hits.Requested != c.want || f.Latency[0].PerSecond != c.want {
			t.Errorf("%s: %v tokens and %v lookups per second, want %v", c.name, f.Hits.Requested, f.Latency[0].PerSecond, c.want)
		}
	}
	// A series that appears was at 0; a scrape that is not later has no rates.
	empty := scrape(t, "# TYPE lmcache_mp_x gauge\nlmcache_mp_x 1\n", start)
	if f := top.Build(empty, scrape(t, pageOf(old, "40"), start.Add(interval)), top.Options{}); f.Hits.Requested != 4 {
		t.Errorf("a new series: %v tokens per second", f.Hits.Requested)
	}
	if f := top.Build(empty, scrape(t, pageOf(old, "40"), start), top.Options{}); f.Hits.Requested.Known() {
		t.Errorf("at the same time: %v tokens per second", f.Hits.Requested)
	}
}

// A process that began after the scrape before has rates over its own time.
func TestRestartedProcess(t *testing.T) {
	const form = "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %START%\n# TYPE lmcache_mp_l1_write_keys_total counter\nlmcache_mp_l1_write_keys_total 20\n"
	before := scrape(t, strings.ReplaceAll(form, "%START%", "1000"), time.Unix(2000, 0))
	after := scrape(t, strings.ReplaceAll(form, "%START%", "2056"), time.Unix(2060, 0))
	if f := top.Build(before, after, top.Options{}); f.L1.Written != 5 || f.Seconds != 4 {
		t.Errorf("%v keys per second over %v seconds, want 5 over 4", f.L1.Written, f.Seconds)
	}
}

// A recorder knows the hit rate of longer times, over a restart too.
func TestRecorder(t *testing.T) {
	var r top.Recorder
	form := strings.Join([]string{
		"# TYPE lmcache_mp_lookup_requested_tokens_total counter", `lmcache_mp_lookup_requested_tokens_total{cache_salt="",model_name="m"} %R%`,
		"# TYPE lmcache_mp_lookup_hit_tokens_total counter", `lmcache_mp_lookup_hit_tokens_total{cache_salt="",model_name="m"} %H%`, "",
	}, "\n")
	at := start
	var f *top.Frame
	add := func(requested, hit string, times int) {
		for range times {
			f = r.Add(scrape(t, strings.NewReplacer("%R%", requested, "%H%", hit).Replace(form), at))
			at = at.Add(5 * time.Second)
		}
	}
	add("1000", "900", 1)
	add("1100", "900", 1)
	if f.Hits.Hit != 0 || f.Hits.Hit10s.Known() {
		t.Errorf("after 5 s: %+v", f.Hits)
	}
	add("1300", "1100", 1)
	if f.Hits.Hit != 1 || f.Hits.Hit10s != top.Number(200.0/300) || f.Hits.Hit1m.Known() {
		t.Errorf("after 10 s: %+v", f.Hits)
	}
	add("100", "0", 10) // started anew
	if f.Hits.Hit10s.Known() || f.Hits.Hit1m != top.Number(200.0/400) {
		t.Errorf("after a minute: %+v", f.Hits)
	}
	add("100", "0", 1)
	if f.Hits.Hit1m != top.Number(200.0/300) {
		t.Errorf("the first interval still counts: %+v", f.Hits)
	}
	if want := []top.Number{0, 1, 0}; len(f.Hits.Trend) != 13 || cmp.Diff(want, f.Hits.Trend[:3]) != "" || f.Hits.Trend[12].Known() {
		t.Errorf("trend %v", f.Hits.Trend)
	}
	add("100", "0", 300)
	if len(f.Hits.Trend) != 120 {
		t.Errorf("%d intervals are remembered", len(f.Hits.Trend))
	}
}

// The names of LMCache's later releases are read, and what its page lacks is not known.
func TestLMCachePage(t *testing.T) {
	f := top.Build(nil, file(t, "lmcache.txt", start), top.Options{})
	if f.Hits.HitTotal != 0.6 || f.L1.EvictedTotal != 7 || f.L1.Ratio != 0.25 || f.L1.Capacity.Known() || f.Bus.DroppedTotal != 0 || len(f.Warnings) > 0 {
		t.Errorf("%+v\n%+v\n%v", f.Hits, f.L1, f.Warnings)
	}
}

func TestForeignPage(t *testing.T) {
	f := top.Build(nil, scrape(t, "# TYPE node_load1 gauge\nnode_load1 0.5\n", start), top.Options{})
	if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "no metrics of a cache") {
		t.Errorf("%q", f.Warnings)
	}
}

func TestSortTenants(t *testing.T) {
	list := func() []top.Tenant {
		mk := func(salt string, requested, hit, tokens top.Number) top.Tenant {
			return top.Tenant{Salt: salt, Rates: top.Rates{Requested: requested, Hit: hit, Tokens: tokens}}
		}
		return []top.Tenant{mk("d", none, none, 5), mk("b", 5, 0.5, 10), mk("c", 9, 0.9, 1), mk("a", 0, none, 70)}
	}
	for by, want := range map[top.Order]string{top.ByTokens: "cbad", top.ByTotal: "abdc", top.ByHits: "bcad", top.BySalt: "abcd"} {
		l, got := list(), ""
		top.SortTenants(l, by)
		for _, x := range l {
			got += x.Salt
		}
		if got != want || by.Validate() != nil {
			t.Errorf("by %s: %s, want %s; %v", by, got, want, by.Validate())
		}
	}
	if top.Order("size").Validate() == nil {
		t.Error("an order that does not exist is valid")
	}
}

// What is not known is null, and counts keep all their digits.
func TestNumberJSON(t *testing.T) {
	for n, want := range map[top.Number]string{
		none: "null", top.Number(math.Inf(1)): "null", 12345678901: "12345678901", 0.123456789: "0.123457", 0: "0",
	} {
		if got, err := json.Marshal(n); err != nil || string(got) != want {
			t.Errorf("%v: %s, %v", float64(n), got, err)
		}
	}
	if _, err := json.Marshal(frame(t)); err != nil {
		t.Error(err)
	}
}

// What observing costs is the time that subscribers take of the time between two scrapes.
func TestCosts(t *testing.T) {
	const form = "# TYPE lmcache_mp_observability_cpu_seconds_total counter\n" +
		"lmcache_mp_observability_cpu_seconds_total{subscriber_name=\"A\"} %A%\nlmcache_mp_observability_cpu_seconds_total{subscriber_name=\"B\"} %B%\n" +
		"# TYPE lmcache_mp_loop_last_tick_seconds gauge\nlmcache_mp_loop_last_tick_seconds{loop=\"x\"} 0\nlmcache_mp_loop_last_tick_seconds{loop=\"y\"} 0\n"
	at := func(a, b string) string { return strings.NewReplacer("%A%", a, "%B%", b).Replace(form) }
	f := top.Build(scrape(t, at("1", "5"), start), scrape(t, at("1.1", "5.4"), start.Add(interval)), top.Options{})
	if diff := cmp.Diff([]top.Costing{{"B", 0.04}, {"A", 0.01}}, f.Bus.Costs, numbers); diff != "" {
		t.Errorf("costs (-want +got):\n%s", diff)
	}
	got := top.Render(f, live(100, 40))
	for _, want := range []string{"cpu of observing 5.0%  B 4.0%  A 1.0%", "loops 2, none waits"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not shown:\n%s", want, got)
		}
	}
}
