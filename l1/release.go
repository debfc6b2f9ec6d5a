package l1

import (
	"math"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// ReleaseResult says what a release did. Both lists are in order of the lease.
type ReleaseResult struct {
	Released []kv.Key
	Failed   []kv.Key // the lease had expired before
}

// Finish gives back all holders and ends the lease.
func (r ReadLease) Finish(at time.Time, cause ReadCause) ReleaseResult {
	return r.Release(at, All(math.MaxInt), MaxReaders, cause)
}

// Release gives back up to holders holders of each selected position. CauseRead
// makes the objects the most recently used, the first key of the list last.
// Temporary objects without holders vanish.
func (r ReadLease) Release(at time.Time, s Select, holders int, cause ReadCause) (res ReleaseResult) {
	return r.release(at, s, holders, cause, CauseTempRelease)
}

// Trim gives back all holders of the selected positions, which are outside of what
// a load retains in the end.
func (r ReadLease) Trim(at time.Time, s Select) {
	r.release(at, s, MaxReaders, CauseTrim, CausePrefetchCleanup)
}

func (r ReadLease) release(at time.Time, s Select, holders int, cause ReadCause, gone RemoveCause) (res ReleaseResult) {
	if r.l == nil || holders <= 0 {
		return res
	}
	s = s.clip(math.MaxInt) // pieces knows the length of the list
	l := r.l
	pieces(l, r.gen, s.Lo, s.Hi, func(lo, hi int) {
		l.m.releaseLocked(l, at, lo, hi, s, uint32(holders), cause, gone)
	}, func(lo, hi int) {
		in := func(c Code) func(int) bool {
			return func(i int) bool {
				it := &l.items[i]
				return s.has(i) && it.state != itemNone && it.state != itemRepeat && it.result == c
			}
		}
		res.Released = run(l.keys, lo, hi, in(Success))
		res.Failed = run(l.keys, lo, hi, in(KeyInWrongState))
	})
	return res
}

// noResult marks a position at which a release had nothing to do.
const noResult Code = codes

// releaseLocked gives back holders of the selected positions in [lo, hi), the
// last first.
func (m *Manager) releaseLocked(l *lease, at time.Time, lo, hi int, s Select, holders uint32, cause ReadCause, gone RemoveCause) {
	m.enterLeaseLocked(l, at)
	m.mu.coverLocked(hi - lo)
	done, vanished := 0, 0
	for i := hi - 1; i >= lo; i-- {
		if !s.has(i) {
			continue
		}
		it := &l.items[i]
		switch it.state {
		case itemOpen:
			it.result = Success
			done++
			if m.unleaseLocked(l, it, min(holders, it.holders), cause == CauseRead) {
				vanished++
			}
		case itemLost:
			it.result = KeyInWrongState
			it.holders -= min(holders, it.holders)
			if it.holders == 0 {
				m.unuseItemLocked(it)
				m.settleLocked(l, it)
			}
		default:
			it.result = noResult
		}
	}
	if done > 0 && m.topics.readFinished.Active() {
		keys := run(l.keys, lo, hi, func(i int) bool { return s.has(i) && l.items[i].result == Success && l.items[i].state != itemNone })
		m.topics.readFinished.PublishAt(ReadFinished{Keys: keys, Cause: cause}, at)
	}
	if vanished > 0 {
		m.publishRemovedLocked(gone, "", at)
	}
}

// unleaseLocked gives back live holders of an item; it reports whether a
// temporary object vanished with them.
func (m *Manager) unleaseLocked(l *lease, it *item, holders uint32, read bool) (vanished bool) {
	id, e := it.entry, m.mu.entries.At(it.entry)
	it.holders -= holders
	last := m.unpinHoldersLocked(e, holders)
	if it.holders == 0 {
		m.unuseLocked(it.buf)
	}
	switch {
	case last && e.is(flagIndexed):
		vanished = m.unreadLocked(id, e, read)
	case read && e.is(flagTracked):
		m.mu.policy.Touch(id, m.mu.now) // others read on; this read counts all the same
	}
	if it.holders == 0 {
		m.settleLocked(l, it)
	}
	return vanished
}

// unpinHoldersLocked lowers the pins of an entry and reports whether none is left.
func (m *Manager) unpinHoldersLocked(e *entry, holders uint32) bool {
	e.pins -= holders
	if e.pins > 0 {
		return false
	}
	if e.buf != 0 {
		m.mu.stats.LeasedBytes -= m.mu.layouts[m.mu.bufs.At(e.buf).layout].phys
		m.mu.stats.ReadingObjects--
	}
	return true
}

// unreadLocked handles an indexed entry whose last reader has gone.
func (m *Manager) unreadLocked(id uint32, e *entry, read bool) (vanished bool) {
	if e.is(flagTemporary) {
		m.removeLocked(id, e)
		return true
	}
	m.unpinLocked(id, e, read, m.mu.now)
	return false
}

// pinLocked takes a tracked entry out of the victims.
func (m *Manager) pinLocked(id uint32, e *entry) {
	if !e.is(flagTracked) || e.is(flagPinned) {
		return
	}
	m.loseLocked(e)
	e.flags |= flagPinned
	m.mu.policy.Pin(id)
}

// unpinLocked makes an entry a candidate again, unless something still holds it.
func (m *Manager) unpinLocked(id uint32, e *entry, read bool, at time.Time) {
	if !e.is(flagPinned) || e.pins > 0 || e.staged != 0 {
		return
	}
	e.flags &^= flagPinned
	m.mu.policy.Unpin(id, read, at)
	m.gainLocked(e)
}
