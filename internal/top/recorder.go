package top

import (
	"slices"
	"time"
)

// kept is how many hit rates of intervals a Recorder remembers, longest how far back it
// remembers tokens.
const (
	kept    = 120
	longest = time.Minute
)

// Recorder makes the frames of one server's scrapes, one after the other. The zero value
// is ready; it belongs to one goroutine.
type Recorder struct {
	Options Options

	last   *Scrape
	tokens point // gained since the first scrape, over all restarts
	points []point
	trend  []Number
}

// point is what had been gained at a time.
type point struct {
	at             time.Time
	requested, hit float64
}

// Add makes the frame of the next scrape.
func (r *Recorder) Add(s *Scrape) *Frame {
	f := Build(r.last, s, r.Options)
	w := newWindow(r.last, s)
	requested, _ := w.sum(requestedMetric)
	hit, _ := w.sum(hitMetric)
	r.tokens = point{s.At, r.tokens.requested + requested.gained, r.tokens.hit + hit.gained}
	r.points = append(r.points, r.tokens)
	if len(r.points) > 1 {
		r.trend = append(r.trend, f.Hits.Hit)
	}
	for len(r.points) > 1 && s.At.Sub(r.points[1].at) >= longest {
		r.points = r.points[1:]
	}
	r.trend = r.trend[max(len(r.trend)-kept, 0):]
	r.last = s
	f.Hits.Hit10s, f.Hits.Hit1m = r.over(10*time.Second), r.over(longest)
	f.Hits.Trend = append([]Number(nil), r.trend...)
	return f
}

// over is the hit rate over a time; not a number before so much has passed.
func (r *Recorder) over(d time.Duration) Number {
	for _, p := range slices.Backward(r.points) {
		if r.tokens.at.Sub(p.at) >= d {
			return ratio(r.tokens.hit-p.hit, r.tokens.requested-p.requested)
		}
	}
	return none
}
