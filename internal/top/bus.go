package top

import (
	"cmp"
	"fmt"
	"slices"
)

// Bus is the state of the event bus that feeds the metrics.
type Bus struct {
	Depth        Number    `json:"queue_depth"`
	Limit        Number    `json:"queue_limit"` // of each class
	Lag          Number    `json:"drain_lag_seconds"`
	Dropped      Number    `json:"dropped_per_second"`
	DroppedTotal Number    `json:"dropped_total"` // by the queue of metrics and spans
	Drops        []Drop    `json:"drops"`         // by type, isolated queues included; those with any
	Panics       Number    `json:"subscriber_exceptions_total"`
	Overflow     Number    `json:"subscriber_overflow_total"`
	Folded       Number    `json:"label_overflow_total"`
	Costs        []Costing `json:"costs,omitempty"`
}

// Drop are events of one type that were lost.
type Drop struct {
	Type      string `json:"event_type"`
	Class     string `json:"class"`
	PerSecond Number `json:"per_second"`
	Total     Number `json:"total"`
}

// Costing is what a subscriber costs.
type Costing struct {
	Subscriber string `json:"subscriber_name"`
	CPU        Number `json:"cpu_ratio"` // of one processor
}

// Loop is a background loop.
type Loop struct {
	Name  string `json:"loop"`
	Age   Number `json:"age_seconds"` // since it last got on
	Stale bool   `json:"stale"`
}

func (f *Frame) bus(w window) {
	f.Bus = Bus{
		Depth: w.now.gauge("lmcache_mp_event_bus_queue_depth"), Limit: w.now.gauge("lmcache_mp_event_bus_queue_limit"),
		Lag:     w.now.gauge("lmcache_mp_event_bus_drain_lag_seconds"),
		Dropped: w.rate("lmcache_mp_event_bus_dropped_events_total"), DroppedTotal: w.total("lmcache_mp_event_bus_dropped_events_total"),
		Panics: w.total("lmcache_mp_event_bus_subscriber_exceptions_total"), Overflow: w.total("lmcache_mp_subscriber_overflow_total"),
		Folded: w.total("lmcache_mp_metrics_label_overflow_total"),
	}
	if !f.Bus.Panics.Known() && f.Bus.DroppedTotal.Known() {
		f.Bus.Panics = 0 // a subscriber has a series from its first panic on
	}
	for _, c := range w.counters("lmcache_mp_event_bus_dropped_events_by_type_total") {
		if c.total > 0 {
			f.Bus.Drops = append(f.Bus.Drops, Drop{
				clean(c.labels["event_type"]), clean(c.labels["class"]), over(c.gained, w.seconds), Number(c.total),
			})
		}
	}
	slices.SortStableFunc(f.Bus.Drops, func(a, b Drop) int {
		return cmp.Or(compare(b.PerSecond, a.PerSecond), compare(b.Total, a.Total))
	})
	for _, c := range w.counters("lmcache_mp_observability_cpu_seconds_total") {
		if c.gained > 0 {
			f.Bus.Costs = append(f.Bus.Costs, Costing{clean(c.labels["subscriber_name"]), over(c.gained, w.seconds)})
		}
	}
	slices.SortStableFunc(f.Bus.Costs, func(a, b Costing) int { return compare(b.CPU, a.CPU) })
	for _, s := range w.now.list("lmcache_mp_loop_last_tick_seconds") {
		f.Loops = append(f.Loops, Loop{clean(s.labels["loop"]), Number(s.value), s.value > staleAfter})
	}
	slices.SortStableFunc(f.Loops, func(a, b Loop) int { return compare(b.Age, a.Age) })
}

// warn lists what somebody should look at, the worst first.
func (f *Frame) warn(w window) {
	found := false
	for name := range w.now.families {
		found = found || len(name) > len("lmcache_mp_") && name[:len("lmcache_mp_")] == "lmcache_mp_"
	}
	if !found {
		f.Warnings = append(f.Warnings, "the page has no metrics of a cache: is it that of an lmcache server?")
		return
	}
	for _, l := range f.Loops {
		if l.Stale {
			f.Warnings = append(f.Warnings, fmt.Sprintf("loop %s stands still for %s", l.Name, age(l.Age)))
		}
	}
	for _, m := range []struct{ metric, text string }{
		{"lmcache_mp_l1_read_failure_total", "keys could not be read from L1"},
		{"lmcache_mp_l1_allocation_failure_total", "keys got no L1 memory"},
		{"lmcache_mp_l2_prefetch_failure_total", "keys could not be loaded from an outer tier"},
		{"lmcache_mp_l2_store_failed_keys_total", "keys could not be stored in an outer tier"},
		{"lmcache_mp_event_bus_dropped_events_total", "events were dropped: metrics are too low"},
		{"lmcache_mp_event_bus_subscriber_exceptions_total", "panics of event handlers"},
		{"lmcache_mp_lease_expired_total", "leases were not given back in time"},
		{"lmcache_mp_prefetch_jobs_expired_total", "prefetch jobs were never asked for"},
		{"lmcache_mp_metrics_label_overflow_total", "uses of labels were folded into __other__"},
		{"lmcache_mp_spans_leaked_total", "spans were given up"},
	} {
		if c, _ := w.sum(m.metric); c.gained > 0 {
			f.Warnings = append(f.Warnings, count(Number(c.gained))+" "+m.text)
		}
	}
	if f.Bus.Lag > lagging {
		f.Warnings = append(f.Warnings, "the event bus is "+long(f.Bus.Lag)+" behind")
	}
}
