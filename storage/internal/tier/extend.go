package tier

import "time"

// Extend lets a load go on until a deadline that is later than its own, because somebody
// else waits for it now; zero: for as long as it takes. The job may be on its way to the
// tier. A call under way is given up later; what it has not loaded when its context ends,
// which is as before, is loaded by another call.
func (t *Tier) Extend(j *Job, deadline time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if j.Deadline.IsZero() || !deadline.IsZero() && !deadline.After(j.Deadline) {
		return
	}
	j.Deadline = deadline
	for _, c := range t.mu.calls {
		if c.job == j && !c.over && !c.givenUp {
			c.raise(deadline)
		}
	}
}

// againLocked reports whether an object is to be loaded once more: the call had less time
// than those who wait for it now would give it.
func (t *Tier) againLocked(c *call, err error, now time.Time) bool {
	return !c.cut.IsZero() && c.hasty(err, now) && !over(c.job.Deadline, now) &&
		!t.mu.stopped && t.mu.breaker.state == StateClosed
}
