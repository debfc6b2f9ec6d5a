package trace

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache/storage"
)

// reason says why a call is not in the file.
type reason int

const (
	lostQueue  reason = iota // the queue stayed full
	lostEncode               // it has no form
	lostWrite                // the file took nothing
	reasons
)

// losses counts the calls that are lost, until a gap record says so. Publishers and
// the recorder's goroutine add to it.
type losses struct {
	total [reasons]atomic.Int64 // since the start
	first atomic.Int64          // least number of those that no gap record has; MaxInt64: there are none

	mu struct {
		sync.Mutex
		gap Gap
		at  time.Time // of the first
	}
}

func newLosses() *losses {
	l := &losses{}
	l.first.Store(math.MaxInt64)
	return l
}

// add counts a lost call.
func (l *losses) add(why reason, c *storage.Call, at time.Time) {
	l.total[why].Add(1)
	l.note(c.Name, c.N, at)
}

// note has the next gap record tell of a call.
func (l *losses) note(name string, n int64, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := &l.mu.gap
	if g.Count == 0 || at.Before(l.mu.at) {
		l.mu.at = at
	}
	if g.ByCall == nil {
		g.ByCall = make(map[string]int64)
	}
	g.Count++
	g.ByCall[Qualname(name)]++
	if n < l.first.Load() {
		l.first.Store(n)
	}
}

// take returns what no gap record has told of, and when the first of it was lost; a
// Count of 0 says that there is nothing.
func (l *losses) take() (Gap, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.mu.gap
	l.mu.gap = Gap{}
	l.first.Store(math.MaxInt64)
	return g, l.mu.at
}

// give puts back what was taken: the record was not written.
func (l *losses) give(g Gap, at time.Time, first int64) {
	if g.Count == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.gap.Count == 0 || at.Before(l.mu.at) {
		l.mu.at = at
	}
	for name, n := range l.mu.gap.ByCall {
		g.ByCall[name] += n
	}
	g.Count += l.mu.gap.Count
	l.mu.gap = g
	if first < l.first.Load() {
		l.first.Store(first)
	}
}

// sum is the number of calls lost since the start.
func (l *losses) sum() (n int64) {
	for i := range l.total {
		n += l.total[i].Load()
	}
	return n
}
