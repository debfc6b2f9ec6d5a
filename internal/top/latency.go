package top

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Operation is the latency of one kind of operation since the scrape before.
type Operation struct {
	Name      string `json:"op"`
	PerSecond Number `json:"per_second"`
	Failed    Number `json:"failed_per_second"`
	P50       Number `json:"p50_seconds"`
	P95       Number `json:"p95_seconds"`
	P99       Number `json:"p99_seconds"`
	Beyond    bool   `json:"p99_above_buckets"` // P99 is the highest bound, and the true one above it
	Total     Number `json:"total"`
}

// Slow are operations of one kind and outcome that took long.
type Slow struct {
	Name    string `json:"op"`
	Outcome string `json:"outcome"`
	Now     Number `json:"count"` // since the scrape before
	Total   Number `json:"total"`
	From    Number `json:"slowest_from_seconds"` // bucket of the slowest: since the scrape before, else of all
	To      Number `json:"slowest_to_seconds"`   // null: above all bounds
	Trace   string `json:"trace_id,omitempty"`   // of the last one whose trace is known
}

const durations = "lmcache_mp_operation_duration_seconds"

// operationOrder is the order in which a request meets them.
var operationOrder = []string{"lookup", "prefetch_wait", "retrieve", "store", "l2_queue", "l2_load", "l2_store"}

func (f *Frame) operations(w window, slowAfter time.Duration) {
	by := w.distributionsBy(durations, "op")
	failed := make(map[string]float64)
	for _, d := range w.distributions(durations) {
		if d.labels["outcome"] == "failed" {
			failed[d.labels["op"]] += d.gained.count
		}
		f.slow(d, slowAfter.Seconds())
	}
	slices.SortFunc(f.Slow, func(a, b Slow) int {
		return cmp.Or(compare(b.Now, a.Now), compare(b.From, a.From), compare(b.Total, a.Total), cmp.Compare(a.Name+a.Outcome, b.Name+b.Outcome))
	})
	names := slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b))
	})
	for _, name := range names {
		d := by[name]
		if d.total.count == 0 {
			continue
		}
		g := d.gained
		f.Latency = append(f.Latency, Operation{
			Name: clean(name), PerSecond: over(g.count, w.seconds), Failed: over(failed[name], w.seconds),
			P50: g.quantile(0.5), P95: g.quantile(0.95), P99: g.quantile(0.99), Beyond: g.beyond(0.99), Total: Number(d.total.count),
		})
	}
}

// place is that of an operation in operationOrder; others come last.
func place(name string) int {
	if i := slices.Index(operationOrder, name); i >= 0 {
		return i
	}
	return len(operationOrder)
}

// slow lists a series if any of its operations took long.
func (f *Frame) slow(d distribution, after float64) {
	total := d.total.above(after)
	if total == 0 {
		return
	}
	s := Slow{Name: clean(d.labels["op"]), Outcome: clean(d.labels["outcome"]), Now: Number(d.gained.above(after)), Total: Number(total)}
	h := d.gained
	if s.Now == 0 {
		h = d.total
	}
	s.From, s.To = h.slowest()
	var last time.Time
	for _, e := range d.traces {
		if e.value >= after && !e.at.Before(last) {
			s.Trace, last = clean(e.trace), e.at
		}
	}
	f.Slow = append(f.Slow, s)
}
