package eventbus

import (
	"math"
	"sync/atomic"
	"time"
)

// costStride is about how many events there are to one that is timed. Batches
// with fewer have one that is.
const costStride = 512

// costs are what the callbacks of subscribers took, by subscriber. A name stays,
// so that its total never goes back.
type costs map[string]*atomic.Int64 // nanoseconds; guarded by Bus.mu

// ofLocked is the total of one name.
func (c costs) ofLocked(name string) *atomic.Int64 {
	total, ok := c[name]
	if !ok {
		total = new(atomic.Int64)
		c[name] = total
	}
	return total
}

// meter measures what the callbacks of one lane take. Reading the clock costs more
// than most handlers, so of a batch only every costStride-th event is timed, at a
// random place in its stretch, and stands for the stretch. What a batch is said to
// have cost is never more than the time that it took. Hooks are timed always. All
// of it belongs to the consumer.
type meter struct {
	base    time.Time     // instants are durations since then, by the monotonic clock alone
	reading time.Duration // what one reading of the clock adds to what is timed
	began   time.Duration // of the batch
	at      int           // next position to be timed
	end     int           // of its stretch
	stretch int           // length of a stretch
	weight  int           // events for which the one being timed stands
	random  uint64
	samples []sample // of the batch
}

// sample is what timed calls of one subscriber in a batch stand for.
type sample struct {
	total *atomic.Int64
	took  time.Duration
}

// start calibrates the clock.
func (m *meter) start() {
	m.base, m.random = time.Now(), 1
	m.reading = time.Hour
	for range 32 {
		from := m.now()
		m.reading = min(m.reading, m.now()-from)
	}
}

func (m *meter) now() time.Duration { return time.Since(m.base) }

// next is a random number below n.
func (m *meter) next(n int) int {
	m.random ^= m.random << 13
	m.random ^= m.random >> 7
	m.random ^= m.random << 17
	return int(m.random % uint64(n))
}

// begin starts a batch of n events.
func (m *meter) begin(n int) {
	m.began = m.now()
	m.stretch = min(n, costStride)
	m.end = 0
	m.choose(n)
}

// choose chooses the event to be timed in the next stretch of a batch of n.
func (m *meter) choose(n int) {
	from := m.end
	m.end = min(from+m.stretch, n)
	if m.weight = m.end - from; m.weight == 0 {
		m.at = math.MaxInt
		return
	}
	m.at = from + m.next(m.weight)
}

// hook adds what a hook took, and returns the time.
func (m *meter) hook(total *atomic.Int64, from time.Duration) (now time.Duration) {
	now = m.now()
	total.Add(int64(max(now-from-m.reading, 0)))
	return now
}

// timed notes that a call of one subscriber took from then to now.
func (m *meter) timed(total *atomic.Int64, from, now time.Duration) {
	took := max(now-from-m.reading, 0) * time.Duration(m.weight)
	for i := range m.samples {
		if m.samples[i].total == total {
			m.samples[i].took += took
			return
		}
	}
	m.samples = append(m.samples, sample{total, took})
}

// finish adds up what the handlers of a batch took.
func (m *meter) finish() {
	var sum time.Duration
	for _, s := range m.samples {
		sum += s.took
	}
	share := 1.0
	if limit := m.now() - m.began; sum > limit {
		share = float64(limit) / float64(sum)
	}
	for i, s := range m.samples {
		s.total.Add(int64(float64(s.took) * share))
		m.samples[i] = sample{}
	}
	m.samples = m.samples[:0]
}
