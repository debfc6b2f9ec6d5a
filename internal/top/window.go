package top

import "math"

// window is what lies between two scrapes.
type window struct {
	before, now *Scrape // before is nil for the first scrape
	seconds     float64 // 0: before is nil, and nothing is known of rates
}

// newWindow looks at two scrapes. If the process is another one, all counters began at 0,
// and not before the process did.
func newWindow(before, now *Scrape) window {
	if before == nil {
		return window{now: now}
	}
	w := window{before: before, now: now, seconds: now.At.Sub(before.At).Seconds()}
	if w.seconds <= 0 {
		return window{now: now}
	}
	const start = "process_start_time_seconds"
	was, is := before.gauge(start), now.gauge(start)
	if was.Known() && is.Known() && math.Abs(float64(is-was)) >= 1 { // LMCache's differ by rounding
		w.before = &Scrape{At: before.At}
		if age := float64(now.At.UnixMilli())/1000 - float64(is); age > 0 {
			w.seconds = min(w.seconds, age)
		}
	}
	return w
}

// change is a counter: its value and what it gained.
type change struct {
	labels map[string]string
	total  float64
	gained float64
}

// counters are the changes of a family, in the order of their labels. Without a scrape
// before, nothing was gained.
func (w window) counters(name string) []change {
	old := w.before.list(name)
	var out []change
	for _, s := range w.now.list(name) {
		c := change{labels: s.labels, total: s.value}
		if w.before != nil {
			was := find(old, s.key)
			c.gained = gain(was.value, s.value)
		}
		out = append(out, c)
	}
	return out
}

// gain is the increase of a counter; one that fell began at 0 again.
func gain(was, is float64) float64 {
	if is < was {
		return is
	}
	return is - was
}

// sum adds up the changes of a family; known is false if the page has none.
func (w window) sum(name string) (c change, known bool) {
	list := w.counters(name)
	for _, each := range list {
		c.total += each.total
		c.gained += each.gained
	}
	return c, len(list) > 0
}

// sumBy adds up the changes of a family by the value of a label.
func (w window) sumBy(name, label string) map[string]change {
	out := make(map[string]change)
	for _, c := range w.counters(name) {
		v := c.labels[label]
		sum := out[v]
		sum.total += c.total
		sum.gained += c.gained
		out[v] = sum
	}
	return out
}

// rate is what a family gained per second; not a number if the page has none.
func (w window) rate(name string) Number {
	c, known := w.sum(name)
	if !known {
		return none
	}
	return over(c.gained, w.seconds)
}

// total is the sum of a family; not a number if the page has none.
func (w window) total(name string) Number {
	c, known := w.sum(name)
	if !known {
		return none
	}
	return Number(c.total)
}
