package eventbus

import (
	"sync"
	"time"
)

// stepAtLeast is the change of the wall clock against the monotonic one that
// counts as a step.
const stepAtLeast = time.Second

// clock counts steps of the wall clock, and is the clock of a manual bus.
type clock struct {
	mu struct {
		sync.Mutex
		last    time.Time // latest reading by a consumer or Stats
		steps   uint64
		drained time.Time // latest time given to Drain
	}
}

// observe compares now, which has a monotonic reading, with the previous one.
func (c *clock) observe(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := c.mu.last; !last.IsZero() {
		c.elapsedLocked(now.Round(0).Sub(last.Round(0)), now.Sub(last))
	}
	c.mu.last = now
}

// elapsedLocked takes what passed on either clock since the last reading.
func (c *clock) elapsedLocked(wall, monotonic time.Duration) {
	if (wall - monotonic).Abs() > stepAtLeast {
		c.mu.steps++
	}
}

func (c *clock) steps() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.steps
}

// advance sets the time of a manual bus, which does not go back.
func (c *clock) advance(now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.After(c.mu.drained) {
		c.mu.drained = now
	}
	return c.mu.drained
}

// now is the time last given to Drain, zero if there was none.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.drained
}

// now is the bus's time: of a manual bus what Drain was given last, if it ever
// was, else the machine's.
func (b *Bus) now() time.Time {
	if b.opts.Manual {
		if now := b.clock.now(); !now.IsZero() {
			return now
		}
	}
	return time.Now()
}
