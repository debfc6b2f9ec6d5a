package top

import (
	"cmp"
	"slices"
	"time"
)

// SlowAfter is the time from which an operation is listed as slow, unless told otherwise.
const SlowAfter = time.Second

// staleAfter is the age from which a background loop is said to stand still; each of them
// ticks at least once in a few seconds.
const staleAfter = 10.0

// lagging is the lag of the event bus, in seconds, that is worth a warning.
const lagging = 2.0

// Frame is what is shown of a server at one time. Rates are per second over Seconds.
type Frame struct {
	URL      string    `json:"url"`
	At       time.Time `json:"at"`
	Seconds  Number    `json:"interval_seconds"` // since the scrape before; null in the first frame
	Version  string    `json:"version"`          // empty: not said
	Uptime   Number    `json:"uptime_seconds"`
	Warnings []string  `json:"warnings"`

	Hits      Hits        `json:"hits"`
	Models    []Model     `json:"models"`  // with most tokens first
	Tenants   []Tenant    `json:"tenants"` // in no order; see SortTenants
	L1        L1          `json:"l1"`
	L2        []Tier      `json:"l2"`
	InFlight  InFlight    `json:"in_flight"`
	Latency   []Operation `json:"operations"`
	SlowAfter Number      `json:"slow_after_seconds"`
	Slow      []Slow      `json:"slow_operations"`
	Misses    []Miss      `json:"misses"` // most frequent first
	Bus       Bus         `json:"event_bus"`
	Loops     []Loop      `json:"loops"` // oldest first
}

// Options are what a frame depends on besides its scrapes.
type Options struct {
	URL       string        // said in the frame
	SlowAfter time.Duration // 0: SlowAfter
}

// Build makes the frame of a scrape, with rates since the one before, which may be nil.
func Build(before, now *Scrape, o Options) *Frame {
	if o.SlowAfter == 0 {
		o.SlowAfter = SlowAfter
	}
	w := newWindow(before, now)
	f := &Frame{URL: o.URL, At: now.At, Seconds: ratio(w.seconds, 1), Uptime: none, SlowAfter: Number(o.SlowAfter.Seconds())}
	if w.seconds == 0 {
		f.Seconds = none
	}
	for _, s := range now.list("lmcache_mp_build_info") {
		f.Version = clean(s.labels["version"])
	}
	if start := now.gauge("process_start_time_seconds"); start.Known() {
		f.Uptime = max(Number(now.At.UnixMilli())/1000-start, 0)
	}
	f.hits(w)
	f.l1(w)
	f.tiers(w)
	f.operations(w, o.SlowAfter)
	f.misses(w)
	f.bus(w)
	f.warn(w)
	return f
}

// Miss is a reason for which chunks were missed.
type Miss struct {
	Reason    string `json:"reason"`
	PerSecond Number `json:"per_second"`
	Share     Number `json:"share"` // of the chunks missed since the scrape before, else of all
	Total     Number `json:"total"`
}

func (f *Frame) misses(w window) {
	var gained, total float64
	by := w.sumBy("lmcache_mp_chunk_misses_total", "reason")
	for _, c := range by {
		gained += c.gained
		total += c.total
	}
	for reason, c := range by {
		if c.total == 0 {
			continue
		}
		m := Miss{Reason: clean(reason), PerSecond: over(c.gained, w.seconds), Share: ratio(c.gained, gained), Total: Number(c.total)}
		if gained == 0 {
			m.Share = ratio(c.total, total)
		}
		f.Misses = append(f.Misses, m)
	}
	slices.SortFunc(f.Misses, func(a, b Miss) int {
		return cmp.Or(compare(b.PerSecond, a.PerSecond), compare(b.Total, a.Total), cmp.Compare(a.Reason, b.Reason))
	})
}

// compare orders numbers; what is none is below all.
func compare(a, b Number) int { return cmp.Compare(a, b) }
