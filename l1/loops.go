package l1

import "time"

// LoopStats is a background loop at one moment. A loop is anything that works
// without being waited for, be it a goroutine or a timer.
type LoopStats struct {
	Name    string
	Stalled time.Duration // since it had something to do and has not got on; 0: it gets on, or has nothing to do
}

// StaleAfter is how long a loop may take for a step.
const StaleAfter = 10 * time.Second

// Stale reports that the loop stands although it has something to do.
func (l LoopStats) Stale() bool { return l.Stalled > StaleAfter }

// Names of the loops of this package.
const (
	LoopEvictor = "l1_evictor" // background eviction: watermark and lowered quotas
	LoopTick    = "l1_tick"    // the eviction loop's tick of every second, while somebody listens
	LoopExpiry  = "l1_expiry"  // leases that end without being given back, and delayed warnings
)

// loopsLocked are the loops of m. Timers are late once they are due.
func (m *Manager) loopsLocked() []LoopStats {
	now := m.rt.Now()
	since := func(began time.Time, waits bool) time.Duration {
		if !waits || began.IsZero() || m.mu.closed {
			return 0
		}
		return max(now.Sub(began), 0)
	}
	return []LoopStats{
		{LoopEvictor, since(m.mu.evictor.since, m.mu.evictor.armed)},
		{LoopTick, since(m.mu.tick.due, m.mu.tick.armed)},
		{LoopExpiry, since(m.mu.timerDue, m.mu.timer != nil)},
	}
}
