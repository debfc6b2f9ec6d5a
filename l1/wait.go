package l1

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// ReserveWriteWithin is ReserveWrite that waits for memory, on the caller's
// goroutine and without the mutex, before it reports OutOfMemory: until all keys
// fit, the wait is over, the context ends or the manager closes. What it has got
// so far stays reserved meanwhile, and its time runs from the end of the wait,
// which must be shorter than the TTL of write leases. Those that wait are not
// served in any order. In virtual time a wait steps the queue; within a callback
// it panics.
func (m *Manager) ReserveWriteWithin(ctx context.Context, at time.Time, wait time.Duration, keys []kv.Key, layout kv.Layout, mode WriteMode, o WriteOptions) (WriteLease, error) {
	if wait < 0 || wait >= m.o.WriteTTL {
		return WriteLease{}, fmt.Errorf("l1: ReserveWrite: wait: must not be negative and less than the write TTL of %v, got %v", m.o.WriteTTL, wait)
	}
	w, err := m.beginWrite(at, keys, layout, mode, o)
	if err != nil {
		return WriteLease{}, err
	}
	if wait > 0 && w.full {
		w.awaitLocked(ctx, at.Add(wait))
	}
	return w.endLocked()
}

// awaitLocked goes over the keys without memory again whenever some may have come
// free. It lets go of the mutex while it waits.
func (w *reservation) awaitLocked(ctx context.Context, until time.Time) {
	m := w.m
	freed := make(chan struct{}, 1)
	m.mu.waiters = append(m.mu.waiters, freed)
	m.mu.stats.Waits++
	w.retry = true
	if len(w.l.keys) > maxHold {
		freed <- struct{}{} // something may have come free between two holds
	}
	for woken := true; woken && w.full; {
		m.mu.Unlock()
		m.mu.mustBeFree("a wait")
		woken = m.rt.Wait(ctx, freed, until)
		w.at = m.rt.Now()
		m.mu.Lock()
		if woken {
			w.full = false
			w.passLocked()
		}
	}
	m.mu.waiters = slices.DeleteFunc(m.mu.waiters, func(c chan struct{}) bool { return c == freed })
	if w.full {
		m.mu.stats.WaitsInVain++
	}
	if w.l.listed && !w.l.dead(m.mu.now) {
		m.unlistLeaseLocked(w.l)
		m.listLocked(w.l, w.at)
	}
}

// freedLocked tells reservations that wait that it may be worth another look.
func (m *Manager) freedLocked() {
	for _, c := range m.mu.waiters {
		select {
		case c <- struct{}{}:
		default: // it will look anyway
		}
	}
}
