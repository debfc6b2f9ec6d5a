package mem

import (
	"math"
	"sync"
	"time"
)

// link passes bytes at a rate, in the order in which they are asked for, so that
// calls share it.
type link struct {
	rate int64 // bytes per second; 0: no limit
	mu   struct {
		sync.Mutex
		free time.Time // when all that was asked for has passed
	}
}

// take queues n bytes and returns when they have passed and how long that is from now.
func (l *link) take(n int, now time.Time) (end time.Time, wait time.Duration) {
	if l.rate <= 0 {
		return time.Time{}, 0
	}
	took := math.Ceil(float64(n) * float64(time.Second) / float64(l.rate))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.free.Before(now) {
		l.mu.free = now
	}
	l.mu.free = l.mu.free.Add(time.Duration(min(took, math.MaxInt64/2)))
	return l.mu.free, l.mu.free.Sub(now)
}

// cancel gives the rest of bytes back that nobody waits for and nobody waits behind.
func (l *link) cancel(end, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate > 0 && l.mu.free.Equal(end) {
		l.mu.free = now
	}
}
