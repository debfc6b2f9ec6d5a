package l1

import (
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// commitLocked makes one staged object readable.
func (m *Manager) commitLocked(id uint32, e *entry, at time.Time) {
	b := e.staged
	phys := m.mu.layouts[m.mu.bufs.At(b).layout].phys
	m.mu.stats.WritingObjects--
	m.mu.stats.StagedBytes -= phys
	old := e.buf
	e.buf, e.staged, e.writer = b, 0, 0
	if old != 0 { // a replacement: readers of the old buffer keep it
		if e.pins > 0 {
			m.mu.stats.LeasedBytes += phys - m.mu.layouts[m.mu.bufs.At(old).layout].phys
		}
		m.mu.policy.Remove(id)
		e.flags &^= flagTracked | flagPinned | flagBlocked
		m.unholdLocked(old, e.salt)
	} else {
		m.mu.stats.Objects++
	}
	e.flags |= flagTracked
	m.mu.policy.Insert(id, phys, e.salt, at)
	f := m.mu.families.At(e.family)
	if m.mu.policy.recognizes() {
		m.mu.policy.recognize(id, kv.Mix64(f.fp^uint64(e.rank)))
	}
	if e.is(flagHeld) || f.children > 0 {
		e.flags |= flagBlocked
		m.mu.policy.Block(id)
	}
	if e.pins > 0 {
		e.flags |= flagPinned
		m.mu.policy.Pin(id)
	} else {
		m.gainLocked(e)
	}
}

// readyLocked returns an item's staged object if it may be committed now, and
// sets the item's result otherwise.
func (m *Manager) readyLocked(l *lease, it *item) (*entry, bool) {
	it.result = KeyInWrongState
	switch it.state {
	case itemOpen:
		return m.mu.entries.At(it.entry), true
	case itemLost:
		m.unuseItemLocked(it)
		m.settleLocked(l, it)
	}
	return nil, false
}

// finishLocked commits the positions [lo, hi), the last first.
func (m *Manager) finishLocked(l *lease, at time.Time, lo, hi int, origin Origin) {
	m.enterLeaseLocked(l, at)
	m.mu.coverLocked(hi - lo)
	done := 0
	for i := hi - 1; i >= lo; i-- {
		it := &l.items[i]
		e, ok := m.readyLocked(l, it)
		if !ok {
			continue
		}
		it.result = Success
		m.mu.bufs.At(e.staged).refs--
		e.flags &^= flagTemporary | flagPending | flagHeld // it has no holder with which it could vanish
		if l.pending && origin == OriginNew {
			e.flags |= flagPending | flagHeld
		}
		m.commitLocked(it.entry, e, at)
		m.settleLocked(l, it)
		done++
	}
	if done > 0 && m.topics.writeFinished.Active() {
		keys := run(l.keys, lo, hi, func(i int) bool { return l.items[i].result == Success && l.items[i].state == itemSettled })
		m.topics.writeFinished.PublishAt(WriteFinished{Keys: keys, Origin: origin}, at)
	}
}

// finishAndReadLocked commits the positions [lo, hi) of l and leases them through r.
func (m *Manager) finishAndReadLocked(l, r *lease, at time.Time, lo, hi int, readers uint32) {
	m.enterLeaseLocked(l, at)
	m.mu.coverLocked(hi - lo)
	for i := hi - 1; i >= lo; i-- {
		it, to := &l.items[i], &r.items[i]
		e, ok := m.readyLocked(l, it)
		if !ok {
			continue
		}
		it.result = Success
		id := it.entry
		buf := m.mu.bufs.At(e.staged)
		buf.refs--
		m.commitLocked(id, e, at)
		m.leaseLocked(r, to, id, e, readers)
		m.settleLocked(l, it)
	}
	if r.open == 0 {
		return
	}
	if !r.listed {
		m.listLocked(r, at)
	}
	if m.topics.writeFinishedAndReadReserved.Active() {
		keys := run(r.keys, lo, hi, func(i int) bool { return r.items[i].code == Success })
		if len(keys) > 0 {
			m.topics.writeFinishedAndReadReserved.PublishAt(WriteFinishedAndReadReserved{Keys: keys}, at)
		}
	}
}

// unstageLocked drops an entry's staging; the bytes go back when the owner lets go.
func (m *Manager) unstageLocked(id uint32, e *entry) {
	b := e.staged
	m.mu.stats.WritingObjects--
	m.mu.stats.StagedBytes -= m.mu.layouts[m.mu.bufs.At(b).layout].phys
	e.staged, e.writer = 0, 0
	m.unholdLocked(b, e.salt)
	if e.buf != 0 {
		m.unpinLocked(id, e, false, m.mu.now)
		return
	}
	m.dropEntryLocked(id, e, goneAborted)
}

// unuseItemLocked ends the use of an item's buffer.
func (m *Manager) unuseItemLocked(it *item) {
	if it.buf == 0 {
		return
	}
	e := m.mu.entries.At(it.entry)
	b := m.mu.bufs.At(it.buf)
	if b.refs == 1 && e.buf == it.buf && e.is(flagTracked) && !e.is(flagPinned) {
		m.gainFreeLocked(m.mu.layouts[b.layout].phys) // an expired reader was all that kept it
	}
	m.unuseLocked(it.buf)
}

// abortLocked discards the positions [lo, hi).
func (m *Manager) abortLocked(l *lease, at time.Time, lo, hi int, cause AbortCause) {
	m.enterLeaseLocked(l, at)
	m.mu.coverLocked(hi - lo)
	done := 0
	for i := hi - 1; i >= lo; i-- {
		it := &l.items[i]
		it.result = KeyInWrongState
		switch it.state {
		case itemOpen:
			it.result = Success
			done++
			m.unstageLocked(it.entry, m.mu.entries.At(it.entry))
		case itemLost:
			it.result = KeyNotExist // told from what had been settled
		default:
			continue
		}
		m.unuseItemLocked(it)
		m.settleLocked(l, it)
	}
	if done > 0 && m.topics.writeAborted.Active() {
		keys := run(l.keys, lo, hi, func(i int) bool { return l.items[i].result == Success && l.items[i].state == itemSettled })
		m.topics.writeAborted.PublishAt(WriteAborted{Keys: keys, Cause: cause}, at)
	}
}

// abandonLocked aborts a reservation that was overtaken by Close.
func (m *Manager) abandonLocked(l *lease, cause AbortCause) {
	if l.open > 0 {
		m.eachHoldLocked(0, len(l.keys), func(lo, hi int) { m.abortLocked(l, m.mu.now, lo, hi, cause) })
	}
	m.recycleLocked(l)
}
