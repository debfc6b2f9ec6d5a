package eventbus

import (
	"testing"
	"time"
)

func TestClockSteps(t *testing.T) {
	var c clock
	for i, s := range []struct {
		wall, monotonic time.Duration
		steps           uint64
	}{
		{time.Millisecond, time.Millisecond, 0},
		{2 * time.Second, time.Second, 0},               // a second is no step yet
		{2*time.Second + 1, time.Second, 1},             // forward
		{-time.Hour, time.Second, 2},                    // back
		{time.Hour, time.Hour, 2},                       // a long sleep
		{24 * time.Hour, 24*time.Hour - time.Minute, 3}, // suspended meanwhile
		{time.Hour - time.Millisecond, time.Hour, 3},    // slewed
	} {
		c.mu.Lock()
		c.elapsedLocked(s.wall, s.monotonic)
		c.mu.Unlock()
		if got := c.steps(); got != s.steps {
			t.Errorf("%d: wall %v, monotonic %v: %d steps, want %d", i, s.wall, s.monotonic, got, s.steps)
		}
	}
	c = clock{}
	now := time.Now()
	c.observe(now)
	c.observe(now.Add(time.Hour)) // both readings move
	if got := c.steps(); got != 0 {
		t.Errorf("an hour passed: %d steps", got)
	}
	c.observe(time.Unix(now.Unix()-5, 0)) // no monotonic reading: the wall clock is all there is
	if got := c.steps(); got != 0 {
		t.Errorf("no monotonic reading: %d steps", got)
	}
}
