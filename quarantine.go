package lmcache

import (
	"sync"
	"time"
)

// quarantine is memory that a process outside may still use although its worker is
// detached: it is lent to nobody else for the write TTL.
type quarantine struct {
	e  *Engine
	mu struct {
		sync.Mutex
		lots map[*lot]struct{}
	}
}

// lot is the memory of one lease.
type lot struct {
	q     *quarantine
	free  func()
	alarm alarm
}

// add keeps memory out of use until free is called, once.
func (q *quarantine) add(free func()) {
	x := &lot{q: q, free: free}
	x.alarm.bell = x
	q.mu.Lock()
	if q.mu.lots == nil {
		q.mu.lots = make(map[*lot]struct{})
	}
	q.mu.lots[x] = struct{}{}
	q.mu.Unlock()
	q.e.alarms.set(&x.alarm, q.e.sm.Now().Add(q.e.o.L1.WriteTTL))
}

// ring is the end of a lot.
func (x *lot) ring(time.Time) time.Time {
	x.q.mu.Lock()
	_, mine := x.q.mu.lots[x]
	delete(x.q.mu.lots, x)
	x.q.mu.Unlock()
	if mine {
		x.free()
	}
	return time.Time{}
}

// empty ends it all: the memory goes away.
func (q *quarantine) empty() {
	q.mu.Lock()
	lots := q.mu.lots
	q.mu.lots = nil
	q.mu.Unlock()
	for x := range lots {
		q.e.alarms.stop(&x.alarm)
		x.free()
	}
}

func (q *quarantine) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.mu.lots)
}
