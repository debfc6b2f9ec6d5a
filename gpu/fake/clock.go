package fake

import "time"

// epoch is where the host's clock starts under the Virtual clock.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// ticker is the device's clock: nanoseconds that run at another rate than the
// host's and from another zero.
type ticker struct {
	offset int64
	rate   float64 // device nanoseconds beyond one host nanosecond
}

// ticks is the device's reading when the host's clock is t after its base.
func (c ticker) ticks(t time.Duration) int64 {
	return c.offset + int64(t) + int64(float64(t)*c.rate)
}

// anchors convert readings of a device's clock into host time, as one must who
// can read both clocks but knows neither offset nor drift: by the rate between
// two pairs of readings, and a renewal often enough that what the rate is off
// stays below the promised 50 µs.
type anchors struct {
	first, last pair
	known       int
	every       time.Duration // until the next renewal
}

type pair struct {
	host  time.Duration // since the device's base
	ticks int64
}

const (
	firstRenewal = 10 * time.Millisecond // 1000 ppm are 10 µs in that time
	lastRenewal  = 60 * time.Second
)

// due reports whether a new pair is wanted at host time t.
func (a *anchors) due(t time.Duration) bool {
	return a.known == 0 || t-a.last.host >= a.every
}

// renew takes a pair of readings.
func (a *anchors) renew(p pair) {
	switch {
	case a.known == 0:
		a.first, a.last, a.every = p, p, firstRenewal
	case p.host > a.last.host:
		a.first, a.last = a.last, p
		a.every = min(a.every*4, lastRenewal)
	}
	a.known++
}

// host is the host's time at a reading of the device's clock.
func (a *anchors) host(ticks int64) time.Duration {
	d := ticks - a.last.ticks
	if span := a.last.ticks - a.first.ticks; span > 0 {
		d = int64(float64(d) * (float64(a.last.host-a.first.host) / float64(span)))
	}
	return a.last.host + time.Duration(d)
}
