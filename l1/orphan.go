package l1

import (
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Orphan takes back what is staged, as Abort does, but leaves the bytes out of use
// until the lease is aborted or finished: somebody outside of the process may still
// write to them. It returns the keys that were still staged, in request order.
func (w WriteLease) Orphan(at time.Time, cause AbortCause) (orphaned []kv.Key) {
	return orphan(w.l, w.gen, len(w.Keys()), at, func(keys []kv.Key) {
		w.l.m.topics.writeAborted.PublishAt(WriteAborted{Keys: keys, Cause: cause}, at)
	})
}

// Orphan ends the pins of a lease, so that its objects may be evicted, but leaves
// their bytes out of use until the lease is finished: somebody outside of the
// process may still read them. It returns the keys that were pinned, in order.
func (r ReadLease) Orphan(at time.Time) (orphaned []kv.Key) {
	return orphan(r.l, r.gen, len(r.Keys()), at, func(keys []kv.Key) {
		r.l.m.topics.readFinished.PublishAt(ReadFinished{Keys: keys, Cause: CauseAbort}, at)
	})
}

// orphan takes n positions of a lease away and publishes their keys under the mutex,
// if there are any.
func orphan(l *lease, gen uint64, n int, at time.Time, publish func([]kv.Key)) (orphaned []kv.Key) {
	pieces(l, gen, 0, n, func(lo, hi int) { l.m.orphanLocked(l, at, lo, hi) }, func(lo, hi int) {
		orphaned = run(l.keys, lo, hi, func(i int) bool { return l.items[i].result == Success && l.items[i].state == itemLost })
		l.m.letGoLocked(l, lo, hi)
		if len(orphaned) > 0 {
			publish(orphaned)
		}
	})
	return orphaned
}

// orphanLocked does to the positions [lo, hi) what expiry does, without its warning.
func (m *Manager) orphanLocked(l *lease, at time.Time, lo, hi int) {
	m.enterLeaseLocked(l, at)
	m.mu.coverLocked(hi - lo)
	vanished := 0
	for i := hi - 1; i >= lo; i-- {
		it := &l.items[i]
		if it.state != itemOpen {
			it.result = noResult
			continue
		}
		it.state, it.result = itemLost, Success
		e := m.mu.entries.At(it.entry)
		if l.kind == LeaseWrite {
			m.unstageLocked(it.entry, e)
		} else if m.unpinHoldersLocked(e, it.holders) && e.is(flagIndexed) && m.unreadLocked(it.entry, e, false) {
			vanished++
		}
	}
	if vanished > 0 {
		m.publishRemovedLocked(CauseTempRelease, "", at)
	}
}

// letGoLocked ends the time of an orphaned lease: what is left of it is only bytes.
func (m *Manager) letGoLocked(l *lease, lo, hi int) {
	for i := lo; i < hi; i++ {
		if l.items[i].state == itemLost {
			l.items[i].result = noResult
		}
	}
	l.expired, l.cursor = true, len(l.items)
	m.unlistLeaseLocked(l)
}

// Offset is where the buffer of a granted position begins in Regions, in bytes;
// -1 for other positions and after the lease has ended.
func (w WriteLease) Offset(i int) int64 { return offsetOf(w.l, w.gen, i) }

// Offset is where the buffer of a leased position begins in Regions, in bytes; -1
// for other positions and after the lease has ended.
func (r ReadLease) Offset(i int) int64 { return offsetOf(r.l, r.gen, i) }

func offsetOf(l *lease, gen uint64, i int) int64 {
	if l == nil || l.gen.Load() != gen || i < 0 || i >= len(l.items) || l.items[i].code != Success {
		return -1
	}
	return l.items[i].off
}
