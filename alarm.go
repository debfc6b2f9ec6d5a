package lmcache

import (
	"container/heap"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
)

// alarms call what is due, in order of time, with one timer for all of them. An
// alarm rings within alarmSlack of its time. The timer is set only while there are
// alarms; one that has become pointless stays, at the price of one wake-up.
type alarms struct {
	rt runtime.Runtime
	mu struct {
		sync.Mutex
		heap    alarmHeap
		timer   runtime.Timer // nil: not set
		due     time.Time     // of timer
		ringing bool          // the timer is set anew when that is over
		rang    time.Time     // ringing: since when the alarm that rings does
		closed  bool
	}
}

// alarmSlack is how late an alarm may ring.
const alarmSlack = time.Second

// alarm is a place among the alarms. Its owner sets bell once, before it is used.
type alarm struct {
	bell    bell
	due     time.Time
	index   int  // in the heap, from 1; 0: it is not set
	stopped bool // for good
}

// bell is what an alarm calls, without a lock. It returns when to ring again, after
// now; zero: never.
type bell interface {
	ring(now time.Time) (next time.Time)
}

// set lets x ring at due, or earlier if it is set to that already.
func (a *alarms) set(x *alarm, due time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !x.stopped {
		a.setLocked(x, due)
	}
}

func (a *alarms) setLocked(x *alarm, due time.Time) {
	switch {
	case a.mu.closed:
		return
	case x.index == 0:
		x.due = due
		heap.Push(&a.mu.heap, x)
	case due.Before(x.due):
		x.due = due
		heap.Fix(&a.mu.heap, x.index-1)
	}
	a.armLocked()
}

// stop silences x for good. A ring that has begun may still be running.
func (a *alarms) stop(x *alarm) {
	a.mu.Lock()
	defer a.mu.Unlock()
	x.stopped = true
	if x.index > 0 {
		heap.Remove(&a.mu.heap, x.index-1)
	}
}

func (a *alarms) armLocked() {
	if a.mu.ringing || len(a.mu.heap) == 0 {
		return
	}
	due := a.mu.heap[0].due
	if a.mu.timer != nil && (!due.Add(alarmSlack).Before(a.mu.due) || !a.mu.timer.Stop()) {
		return // early enough, or about to ring
	}
	a.mu.timer, a.mu.due = a.rt.At(due, a.fire), due
}

// fire rings what is due.
func (a *alarms) fire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.timer, a.mu.ringing, a.mu.rang = nil, true, a.rt.Now()
	for !a.mu.closed && len(a.mu.heap) > 0 {
		now, x := a.rt.Now(), a.mu.heap[0]
		if x.due.After(now) {
			break
		}
		heap.Pop(&a.mu.heap)
		a.mu.rang = now
		a.mu.Unlock()
		next := x.bell.ring(now)
		a.mu.Lock()
		if !next.IsZero() && !x.stopped {
			a.setLocked(x, next)
		}
	}
	a.mu.ringing = false
	if !a.mu.closed {
		a.armLocked()
	}
}

// stalled is for how long an alarm has been ringing, or is overdue.
func (a *alarms) stalled() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch now := a.rt.Now(); {
	case a.mu.closed:
		return 0
	case a.mu.ringing:
		return max(now.Sub(a.mu.rang), 0)
	case a.mu.timer != nil:
		return max(now.Sub(a.mu.due), 0)
	}
	return 0
}

// close silences everything. A ring that has begun may still be running; the
// runtime waits for it.
func (a *alarms) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.closed = true
	if a.mu.timer != nil {
		a.mu.timer.Stop()
	}
}

// alarmHeap is ordered by time.
type alarmHeap []*alarm

func (h alarmHeap) Len() int           { return len(h) }
func (h alarmHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

func (h alarmHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

// Push is for package heap.
func (h *alarmHeap) Push(v any) {
	x := v.(*alarm)
	*h = append(*h, x)
	x.index = len(*h)
}

// Pop is for package heap.
func (h *alarmHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	x.index = 0
	return x
}
