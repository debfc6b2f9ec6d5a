package top

import "math"

// histogram is a distribution of values: how many are up to each bound.
type histogram struct {
	buckets []bucket // by bound, cumulative
	count   float64
	sum     float64
}

// distribution is a histogram: all its values, and those since the scrape before.
type distribution struct {
	labels map[string]string
	total  histogram
	gained histogram
	traces []traced
}

// distributions are those of a family.
func (w window) distributions(name string) []distribution {
	old := w.before.list(name)
	var out []distribution
	for _, s := range w.now.list(name) {
		d := distribution{labels: s.labels, total: histogram{s.buckets, s.value, s.sum}, traces: s.traces}
		if w.before != nil {
			was := find(old, s.key)
			d.gained = since(histogram{was.buckets, was.value, was.sum}, d.total)
		}
		out = append(out, d)
	}
	return out
}

// distributionsBy adds the distributions of a family up by the value of a label.
func (w window) distributionsBy(name, label string) map[string]distribution {
	by := make(map[string]distribution)
	for _, d := range w.distributions(name) {
		sum := by[d.labels[label]]
		by[d.labels[label]] = distribution{total: sum.total.plus(d.total), gained: sum.gained.plus(d.gained)}
	}
	return by
}

// since are the values that now has and was has not. If now has fewer values, or other
// bounds, it began anew.
func since(was, now histogram) histogram {
	if now.count < was.count || len(was.buckets) != len(now.buckets) {
		return now
	}
	d := histogram{count: now.count - was.count, sum: now.sum - was.sum}
	for i, b := range now.buckets {
		if was.buckets[i].upTo != b.upTo {
			return now
		}
		d.buckets = append(d.buckets, bucket{b.upTo, max(b.count-was.buckets[i].count, 0)})
	}
	return d
}

// plus adds two histograms. Of two with other bounds, which one server does not have, the
// values of the second one are left out.
func (h histogram) plus(o histogram) histogram {
	switch {
	case len(h.buckets) == 0 && h.count == 0:
		return o
	case len(h.buckets) != len(o.buckets):
		return h
	}
	sum := histogram{count: h.count + o.count, sum: h.sum + o.sum}
	for i, b := range h.buckets {
		sum.buckets = append(sum.buckets, bucket{b.upTo, b.count + o.buckets[i].count})
	}
	return sum
}

// mean is not a number without values.
func (h histogram) mean() Number { return ratio(h.sum, h.count) }

// quantile is the value that a share q of the values does not exceed, linear inside a
// bucket, as Prometheus computes it; the highest bound if it is above all.
func (h histogram) quantile(q float64) Number {
	if h.count == 0 || len(h.buckets) == 0 {
		return none
	}
	rank, low, below := q*h.count, 0.0, 0.0
	for _, b := range h.buckets {
		if math.IsInf(b.upTo, 1) {
			break
		}
		if b.count >= rank && b.count > below {
			return Number(low + (b.upTo-low)*(rank-below)/(b.count-below))
		}
		low, below = b.upTo, b.count
	}
	return Number(low)
}

// beyond tells whether a quantile is above all bounds, so that only the highest of them
// is known.
func (h histogram) beyond(q float64) bool {
	finite := 0.0
	for _, b := range h.buckets {
		if !math.IsInf(b.upTo, 1) {
			finite = b.count
		}
	}
	return h.count > 0 && q*h.count > finite
}

// above counts the values over a bound: those of the buckets that begin at it or higher.
func (h histogram) above(bound float64) float64 {
	for _, b := range h.buckets {
		if b.upTo >= bound {
			return h.count - b.count
		}
	}
	return 0
}

// slowest is the highest bucket with a value: the range it covers. The upper end is
// infinite behind the last bound.
func (h histogram) slowest() (from, to Number) {
	low, below := 0.0, 0.0
	for _, b := range h.buckets {
		if b.count > below {
			from, to = Number(low), Number(b.upTo)
		}
		low, below = b.upTo, b.count
		if math.IsInf(b.upTo, 1) {
			return from, to
		}
	}
	if h.count > below {
		return Number(low), Number(math.Inf(1))
	}
	return from, to
}
