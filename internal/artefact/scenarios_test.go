package artefact

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// scenario is what makes one alert fire, and what keeps it silent. Values are in
// promtool's notation: 0+60x20 is 0, 60, 120, … 1200.
type scenario struct {
	alert        string
	interval     string // between values; empty: 1m
	fire, silent map[string]string
	at           string
	labels       map[string]string // of the alert that fires, without severity
	summary      string
	description  string
}

const at = `instance="a:9090"`

var onA = map[string]string{"instance": "a:9090"}

func scenarios() []scenario {
	return []scenario{
		{
			alert: "LMCacheL1ReadFailures", at: "10m",
			fire:        map[string]string{`lmcache_mp_l1_read_failure_total{` + at + `,during="l1_retrieve",reason="not_found",model_name="m"}`: "0+60x20"},
			silent:      map[string]string{`lmcache_mp_l1_read_failure_total{` + at + `,during="l1_retrieve",reason="not_found",model_name="m"}`: "5x20"},
			labels:      map[string]string{"instance": "a:9090", "during": "l1_retrieve", "reason": "not_found"},
			summary:     "a:9090: keys that lookups found cannot be read",
			description: "1 keys per second fail during l1_retrieve with not_found.",
		},
		{
			alert: "LMCacheL1AllocationFailures", at: "6m",
			fire:        map[string]string{`lmcache_mp_l1_allocation_failure_total{` + at + `,during="l1_store",model_name="m"}`: "0+120x10"},
			silent:      map[string]string{`lmcache_mp_l1_allocation_failure_total{` + at + `,during="l1_store",model_name="m"}`: "7x10"},
			labels:      map[string]string{"instance": "a:9090", "during": "l1_store"},
			summary:     "a:9090: L1 has no memory for new keys",
			description: "2 keys per second got no memory during l1_store.",
		},
		{
			alert: "LMCacheEventsDropped", at: "8m",
			fire:        map[string]string{`lmcache_mp_event_bus_dropped_events_total{` + at + `}`: "0+10x20"},
			silent:      map[string]string{`lmcache_mp_event_bus_dropped_events_total{` + at + `}`: "12x20"},
			labels:      onA,
			summary:     "a:9090: the event bus drops events, counters are too low",
			description: "50 events were dropped within 5 minutes.",
		},
		{
			alert: "LMCacheSubscriberExceptions", at: "8m", // the series comes into being with the first panic
			fire:        map[string]string{`lmcache_mp_event_bus_subscriber_exceptions_total{` + at + `,subscriber_name="Clumsy"}`: "_x6 1x10"},
			silent:      map[string]string{`lmcache_mp_event_bus_subscriber_exceptions_total{` + at + `,subscriber_name="Clumsy"}`: "4x20"},
			labels:      map[string]string{"instance": "a:9090", "subscriber_name": "Clumsy"},
			summary:     "a:9090: Clumsy panics",
			description: "1 panics of Clumsy were recovered within 5 minutes.",
		},
		{
			alert: "LMCacheDown", at: "5m",
			fire:        map[string]string{`up{job="lmcache-mp",` + at + `}`: "1 0x10", `up{job="other",instance="b:9090"}`: "0x10"},
			silent:      map[string]string{`up{job="lmcache-mp",` + at + `}`: "1 1 1 1 0 1 1"},
			labels:      map[string]string{"instance": "a:9090", "job": "lmcache-mp"},
			summary:     "a:9090: cannot be scraped",
			description: "Prometheus gets no metrics from a:9090.",
		},
		{
			alert: "LMCacheL2StoresDropped", at: "10m", // a tier that stays full; one burst is over before
			fire: map[string]string{
				`lmcache_mp_l2_store_dropped_keys_total{` + at + `,l2_name="fs",adapter_index="0",reason="no_space"}`: "0+60x20",
				`lmcache_mp_l2_store_dropped_keys_total{` + at + `,l2_name="fs",adapter_index="0",reason="backlog"}`:  "0x20",
			},
			silent:      map[string]string{`lmcache_mp_l2_store_dropped_keys_total{` + at + `,l2_name="fs",adapter_index="0",reason="backlog"}`: "0 0 900x20"},
			labels:      map[string]string{"instance": "a:9090", "l2_name": "fs", "adapter_index": "0", "reason": "no_space"},
			summary:     "a:9090: the outer tier fs does not get all keys",
			description: "1 keys per second do not reach fs (0): no_space.",
		},
		{
			alert: "LMCacheEventBusLag", at: "5m",
			fire:        map[string]string{`lmcache_mp_event_bus_drain_lag_seconds{` + at + `}`: "5x10"},
			silent:      map[string]string{`lmcache_mp_event_bus_drain_lag_seconds{` + at + `}`: "2x10"},
			labels:      onA,
			summary:     "a:9090: the event bus is behind",
			description: "The oldest waiting event is 5s old.",
		},
		{
			alert: "LMCacheEvictionLoopFlat", at: "3m", interval: "5s",
			fire:        map[string]string{`lmcache_mp_l1_eviction_loop_ticks_total{` + at + `}`: "0+5x20 100x30"},
			silent:      map[string]string{`lmcache_mp_l1_eviction_loop_ticks_total{` + at + `}`: "0+5x50"},
			labels:      onA,
			summary:     "a:9090: the eviction loop stands",
			description: "The eviction loop has not ticked for 15s.",
		},
		{
			alert: "LMCacheTraceRecordsDropped", at: "8m", // as above
			fire:        map[string]string{`lmcache_mp_trace_records_dropped_total{` + at + `,reason="queue"}`: "_x6 12x10"},
			silent:      map[string]string{`lmcache_mp_trace_records_dropped_total{` + at + `,reason="queue"}`: "12x20"},
			labels:      map[string]string{"instance": "a:9090", "reason": "queue"},
			summary:     "a:9090: the recorded trace has gaps",
			description: "12 records of calls were lost within 5 minutes (queue).",
		},
		{
			alert: "LMCacheLoopStale", at: "3m",
			fire:        map[string]string{`lmcache_mp_loop_last_tick_seconds{` + at + `,loop="stores"}`: "0 5 65 125", `lmcache_mp_loop_last_tick_seconds{` + at + `,loop="l1_tick"}`: "0x3"},
			silent:      map[string]string{`lmcache_mp_loop_last_tick_seconds{` + at + `,loop="stores"}`: "0 8 0 10"},
			labels:      map[string]string{"instance": "a:9090", "loop": "stores"},
			summary:     "a:9090: the loop stores stands",
			description: "stores has had something to do for 2m 5s without getting on.",
		},
		{
			alert: "LMCacheL2TierDown", at: "8m", // it is tried again meanwhile, in vain
			fire: map[string]string{
				`lmcache_mp_l2_breaker_state{` + at + `,l2_name="s3",adapter_index="1",state="closed"}`:    "1 1 0x10",
				`lmcache_mp_l2_breaker_state{` + at + `,l2_name="s3",adapter_index="1",state="open"}`:      "0 0 1 1 0 1 1 1 1 1",
				`lmcache_mp_l2_breaker_state{` + at + `,l2_name="s3",adapter_index="1",state="half_open"}`: "0 0 0 0 1 0 0 0 0 0",
				`lmcache_mp_l2_breaker_state{` + at + `,l2_name="s3",adapter_index="0",state="closed"}`:    "1x10",
			},
			silent:      map[string]string{`lmcache_mp_l2_breaker_state{` + at + `,l2_name="s3",adapter_index="1",state="closed"}`: "1 0 0 0 0 1 0 0 0"},
			labels:      map[string]string{"instance": "a:9090", "l2_name": "s3", "adapter_index": "1"},
			summary:     "a:9090: the outer tier s3 cannot be reached",
			description: "The breaker of s3 (1) has not been closed for 5 minutes.",
		},
		{
			alert: "LMCacheL2LoadsGrowing", at: "20m", // one a minute
			fire:        map[string]string{`lmcache_mp_num_inflight_l2_loads{` + at + `,l2_name="fs",adapter_index="0"}`: "1+1x30"},
			silent:      map[string]string{`lmcache_mp_num_inflight_l2_loads{` + at + `,l2_name="fs",adapter_index="0"}`: "1+1x12 12x18"},
			labels:      map[string]string{"instance": "a:9090", "l2_name": "fs", "adapter_index": "0"},
			summary:     "a:9090: loads from fs pile up",
			description: "Loads in flight from fs (0) have grown for 10 minutes, now by 16.67m per second.",
		},
		{
			alert: "LMCachePrefetchJobsStuck", at: "25m",
			fire:        map[string]string{`lmcache_mp_active_prefetch_jobs{` + at + `}`: "3x15 4x15"},
			silent:      map[string]string{`lmcache_mp_active_prefetch_jobs{` + at + `}`: strings.Repeat("5 6 7 4 ", 8)},
			labels:      onA,
			summary:     "a:9090: prefetch jobs are never consumed",
			description: "At least 3 prefetch jobs have waited for 15 minutes, and their number has not fallen once.",
		},
		{
			alert: "LMCacheL1TooSmall", at: "80m", // half of 2 per minute within 30 s
			fire:        gaps("0+1x90", "0+2x90", "0+2x90"),
			silent:      gaps("0x90", "0x90", "0+2x90"),
			labels:      onA,
			summary:     "a:9090: chunks are needed again right after their eviction",
			description: "Half of the evicted chunks in the sample were written again within 30s.",
		},
		{
			alert: "LMCacheL2LoadsSlow", at: "1470m", // a day at 10 GB/s, then 2
			fire: map[string]string{
				`lmcache_mp_l2_load_throughput_gbs_sum{` + at + `,l2_name="fs"}`:   "0+600x1440 864120+120x60",
				`lmcache_mp_l2_load_throughput_gbs_count{` + at + `,l2_name="fs"}`: "0+60x1500",
			},
			silent: map[string]string{
				`lmcache_mp_l2_load_throughput_gbs_sum{` + at + `,l2_name="fs"}`:   "0+600x1440 864360+360x60",
				`lmcache_mp_l2_load_throughput_gbs_count{` + at + `,l2_name="fs"}`: "0+60x1500",
			},
			labels:      map[string]string{"l2_name": "fs"},
			summary:     "fs: loads are at less than half of their usual speed",
			description: "Loads from fs run at 20% of their 7-day median.",
		},
		{
			// A day at 0.8, then 0.2. The recorded hour may be that of a minute ago: groups of
			// rules are evaluated in any order.
			alert: "LMCacheHitRateDropped", at: "1520m",
			fire: map[string]string{
				`lmcache_mp_lookup_requested_tokens_total{` + at + `,model_name="m",cache_salt=""}`: "0+600x1600",
				`lmcache_mp_lookup_hit_tokens_total{` + at + `,model_name="m",cache_salt=""}`:       "0+480x1440 691320+120x100",
				`lmcache_mp_lookups_total{` + at + `,model_name="m",cache_salt=""}`:                 "0+10x1600",
			},
			silent: map[string]string{ // as deep a fall, of a model that hardly anybody asks
				`lmcache_mp_lookup_requested_tokens_total{` + at + `,model_name="m",cache_salt=""}`: "0+600x1600",
				`lmcache_mp_lookup_hit_tokens_total{` + at + `,model_name="m",cache_salt=""}`:       "0+480x1440 691320+120x100",
				`lmcache_mp_lookups_total{` + at + `,model_name="m",cache_salt=""}`:                 "0+1x1600",
			},
			labels:      map[string]string{"model_name": "m"},
			summary:     "m: the hit rate is far below yesterday's",
			description: "The hit rate of the last hour differs from the same hour yesterday by -60%.",
		},
	}
}

// gaps are the buckets of the time from eviction to the next write.
func gaps(half, one, all string) map[string]string {
	const name = "lmcache_mp_l1_chunk_evict_reuse_gap_seconds"
	return map[string]string{
		name + `_bucket{` + at + `,le="30"}`: half, name + `_bucket{` + at + `,le="60"}`: one,
		name + `_bucket{` + at + `,le="300"}`: all, name + `_bucket{` + at + `,le="+Inf"}`: all,
		name + `_count{` + at + `}`: all,
	}
}

type (
	testFileYAML struct {
		RuleFiles  []string   `yaml:"rule_files"`
		Evaluation string     `yaml:"evaluation_interval"`
		Tests      []testYAML `yaml:"tests"`
	}
	testYAML struct {
		Name     string          `yaml:"name"`
		Interval string          `yaml:"interval"`
		Series   []seriesYAML    `yaml:"input_series"`
		Alerts   []alertTestYAML `yaml:"alert_rule_test"`
	}
	seriesYAML struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	}
	alertTestYAML struct {
		At       string         `yaml:"eval_time"`
		Name     string         `yaml:"alertname"`
		Expected []expectedYAML `yaml:"exp_alerts"`
	}
	expectedYAML struct {
		Labels      map[string]string `yaml:"exp_labels"`
		Annotations annotationsYAML   `yaml:"exp_annotations"`
	}
)

// promtoolTests is the file for promtool test rules.
func promtoolTests(t *testing.T) []byte {
	t.Helper()
	rules := map[string]alert{}
	for _, a := range alerts(newPromQL("5m", false), RulesOptions{}) {
		rules[a.name] = a
	}
	file := testFileYAML{RuleFiles: []string{"rules.yml"}, Evaluation: "1m"}
	for _, s := range scenarios() {
		a, ok := rules[s.alert]
		if !ok {
			t.Fatalf("there is no alert %s", s.alert)
		}
		delete(rules, s.alert)
		y := a.yaml()
		y.Annotations.Summary, y.Annotations.Description = s.summary, s.description
		labels := maps.Clone(s.labels)
		labels["severity"] = a.severity
		file.Tests = append(file.Tests,
			s.test("fires", s.fire, []expectedYAML{{labels, y.Annotations}}),
			s.test("is silent", s.silent, []expectedYAML{}))
	}
	for name := range rules {
		t.Errorf("alert %s has no scenario", name)
	}
	b := bytes.NewBufferString("# Of each alert, series that make it fire and series that keep it silent.\n# Run them with: promtool test rules rules_test.yml\n")
	enc := yaml.NewEncoder(b)
	enc.SetIndent(2)
	if err := enc.Encode(file); err != nil {
		t.Fatal(err)
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (s *scenario) test(how string, series map[string]string, want []expectedYAML) testYAML {
	y := testYAML{Name: s.alert + " " + how, Interval: s.interval, Alerts: []alertTestYAML{{s.at, s.alert, want}}}
	if y.Interval == "" {
		y.Interval = "1m"
	}
	for _, name := range sorted(series) {
		y.Series = append(y.Series, seriesYAML{name, strings.TrimSpace(series[name])})
	}
	return y
}
