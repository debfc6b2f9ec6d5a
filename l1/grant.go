package l1

import (
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Fill leases those of the positions of an open lease that were not granted and
// have become resident since, and reports how many. The others have the present
// Code and Detail. Positions are in ascending order. The lease's time starts anew.
//
// Code and Detail of an open lease change with Fill and FinishAndGrant: who calls
// them sees to it that nobody asks at the same time.
func (r ReadLease) Fill(at time.Time, positions []int, readers int) (n int) {
	l := r.l
	if l == nil {
		return 0
	}
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.gen.Load() != r.gen || l.id == 0 || m.mu.closed {
		return 0
	}
	l.busy++
	f := lookup{m: m, l: l, readers: uint32(min(max(readers, 1), MaxReaders)), fp: l.layout.Fingerprint()}
	for lo := 0; lo < len(positions); lo += maxHold {
		if lo > 0 {
			m.mu.Unlock()
			m.mu.Lock()
		}
		m.enterLeaseLocked(l, at)
		n += f.fill(at, positions[lo:min(lo+maxHold, len(positions))])
	}
	m.doneLocked(l)
	return n
}

// fill is Fill for one hold.
func (r *lookup) fill(at time.Time, positions []int) (n int) {
	m, l := r.m, r.l
	m.mu.coverLocked(len(positions))
	var keys []kv.Key
	for _, i := range positions {
		if l.items[i].state != itemNone {
			continue
		}
		k := &l.keys[i]
		fam := m.peekFamilyLocked(r.names.Family(k))
		r.grant(i, m.findLocked(k, fam), fam)
		if l.items[i].state == itemOpen {
			n++
			if m.topics.readReserved.Active() {
				keys = append(keys, *k)
			}
		}
	}
	if n > 0 {
		m.relistLocked(l, at)
	}
	if len(keys) > 0 {
		m.topics.readReserved.PublishAt(ReadReserved{Keys: keys}, at)
	}
	return n
}

// relistLocked starts a lease's time anew, or for the first time.
func (m *Manager) relistLocked(l *lease, at time.Time) {
	m.unlistLeaseLocked(l)
	m.listLocked(l, at)
}

// Seal says that nothing more is leased through an open lease. It ends if it holds
// nothing.
func (r ReadLease) Seal() {
	l := r.l
	if l == nil {
		return
	}
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.gen.Load() != r.gen || l.id == 0 {
		return
	}
	if l.busy--; l.busy == 0 && l.open == 0 {
		m.unlistLeaseLocked(l)
		m.discardLocked(l)
	}
}

// Grant is holders on an object that is about to be committed.
type Grant struct {
	Lease   ReadLease // open
	Pos     int       // in it; not granted yet
	Readers int
}

// Commit is one position of a write lease, and who reads it.
type Commit struct {
	Pos       int
	Permanent bool // if it was reserved as temporary, it is not any more
	Grants    []Grant
	Done      bool // out: it is resident now
}

// FinishAndGrant makes the objects of a load readable and gives their readers their
// holders, without a gap in which they could be evicted. One without readers is
// committed as restored and permanent. Positions are in ascending order; one whose
// lease has expired is not Done.
func (w WriteLease) FinishAndGrant(at time.Time, list []Commit) {
	l := w.l
	if l == nil {
		return
	}
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.gen.Load() != w.gen || l.id == 0 {
		return
	}
	l.busy++
	m.eachHoldLocked(0, len(list), func(lo, hi int) { m.grantHoldLocked(l, at, list[lo:hi]) })
	m.doneLocked(l)
}

// grantHoldLocked is FinishAndGrant for one hold, the last position first.
func (m *Manager) grantHoldLocked(l *lease, at time.Time, list []Commit) {
	m.enterLeaseLocked(l, at)
	m.mu.coverLocked(len(list))
	for i := len(list) - 1; i >= 0; i-- {
		m.grantCommitLocked(l, &list[i], at)
	}
	var read, restored []kv.Key
	for i := range list {
		c := &list[i]
		switch {
		case !c.Done:
		case len(c.Grants) > 0:
			read = append(read, l.keys[c.Pos])
		default:
			restored = append(restored, l.keys[c.Pos])
		}
	}
	if len(read) > 0 {
		m.topics.writeFinishedAndReadReserved.PublishAt(WriteFinishedAndReadReserved{Keys: read}, at)
	}
	if len(restored) > 0 {
		m.topics.writeFinished.PublishAt(WriteFinished{Keys: restored, Origin: OriginRestored}, at)
	}
}

func (m *Manager) grantCommitLocked(l *lease, c *Commit, at time.Time) {
	it := &l.items[c.Pos]
	e, ok := m.readyLocked(l, it)
	if !ok || m.mu.closed {
		return
	}
	it.result, c.Done = Success, true
	id := it.entry
	m.mu.bufs.At(e.staged).refs--
	e.flags &^= flagPending | flagHeld
	m.commitLocked(id, e, at)
	granted := c.Grants[:0]
	for _, g := range c.Grants {
		if m.giveLocked(g, id, e, at) {
			granted = append(granted, g)
		}
	}
	c.Grants = granted
	if c.Permanent || e.pins == 0 {
		e.flags &^= flagTemporary
	}
	m.settleLocked(l, it)
}

// giveLocked gives one reader its holders; false: its lease has ended.
func (m *Manager) giveLocked(g Grant, id uint32, e *entry, at time.Time) bool {
	r := g.Lease.l
	if r == nil || r.gen.Load() != g.Lease.gen || r.id == 0 {
		return false
	}
	for r.listed && r.dead(at) {
		m.expireLocked(r, maxHold)
	}
	it := &r.items[g.Pos]
	if it.state != itemNone {
		return false
	}
	m.leaseLocked(r, it, id, e, uint32(min(max(g.Readers, 1), MaxReaders)))
	e.reader, e.readerGen, e.readerPos = r.id, uint32(r.gen.Load()), uint32(g.Pos)
	m.relistLocked(r, at)
	return true
}

// OrphanAt is Orphan for single positions. The lease goes on.
func (w WriteLease) OrphanAt(at time.Time, positions []int, cause AbortCause) {
	for _, i := range positions {
		pieces(w.l, w.gen, i, i+1, func(lo, hi int) { w.l.m.orphanLocked(w.l, at, lo, hi) }, func(lo, _ int) {
			if it := &w.l.items[lo]; it.result == Success && it.state == itemLost {
				it.result = noResult
				w.l.m.topics.writeAborted.PublishAt(WriteAborted{Keys: w.l.keys[lo : lo+1 : lo+1], Cause: cause}, at)
			}
		})
	}
}

// Layout is the layout of the objects; the zero value after the lease has ended.
func (w WriteLease) Layout() kv.Layout {
	if w.l == nil || w.l.gen.Load() != w.gen {
		return kv.Layout{}
	}
	return w.l.layout
}

// Buffer is the buffer of a leased position; nil for another one, with
// Options.NoBytes, and after the lease has ended.
func (r ReadLease) Buffer(i int) []byte {
	if codeOf(r.l, r.gen, i) != Success {
		return nil
	}
	return r.l.buffer(i)
}
