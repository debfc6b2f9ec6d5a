package tier

import (
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
)

// pause is an object that waits for its next attempt.
type pause struct {
	j     *Job
	i     int
	timer runtime.Timer
}

// pauseLocked lets a store wait before it is tried again, longer each time.
func (t *Tier) pauseLocked(j *Job, i int, now time.Time) {
	p := &pause{j: j, i: i}
	p.timer = t.rt.At(now.Add(t.backoff(j.Objects[i].tries)), func() { t.resume(p) })
	t.mu.paused = append(t.mu.paused, p)
}

// backoff is how long to wait after so many tries have failed.
func (t *Tier) backoff(tries int) time.Duration {
	wait := float64(t.s.Retry.Backoff)
	for range tries - 1 {
		wait *= t.s.Retry.Factor
	}
	return jitter(time.Duration(wait), t.rt.Rand())
}

// resume queues the object again.
func (t *Tier) resume(p *pause) {
	t.lock()
	defer t.unlock()
	n := len(t.mu.paused)
	t.mu.paused = slices.DeleteFunc(t.mu.paused, func(o *pause) bool { return o == p })
	if len(t.mu.paused) == n {
		return // it has been given up
	}
	p.j.todo = append(p.j.todo, p.i)
	t.enqueueLocked(p.j)
	t.dispatchLocked(t.rt.Now())
}

// endPausesLocked gives all objects that wait up.
func (t *Tier) endPausesLocked(err error) {
	paused := t.mu.paused
	t.mu.paused = nil
	for _, p := range paused {
		p.timer.Stop()
		t.settleLocked(p.j, p.i, err)
	}
}

// jitter is d, a fifth shorter to a fifth longer.
func jitter(d time.Duration, random uint64) time.Duration {
	return d - d/5 + time.Duration(random%uint64(max(2*int64(d)/5, 1)))
}

// keysOf is a list of one.
func keysOf[K any](k K) []K { return []K{k} }
