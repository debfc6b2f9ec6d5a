package l1

import (
	"iter"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// MaxReaders is the most holders that one lease takes on an object.
const MaxReaders = 128

// ReadOptions are the optional parts of a read reservation.
type ReadOptions struct {
	Owner   string // for events and logs
	Readers int    // holders per object, 1 to MaxReaders; values outside are clipped
	Promise bool   // the buffers are used through Take only: expiry lets go of them
	Open    bool   // more may be leased through it later (Fill, FinishAndGrant), until Seal
	Blind   bool   // of an open lease: lease nothing yet, as if nothing were resident
	Look    bool   // lease nothing: the codes say what could be leased
}

// ReadLease is borrowed memory of resident objects, which are not evicted while
// it lives. It counts holders per object: each reader takes one (Take) and gives
// it back. It is a small value: a copy is the same lease, and one whose lease has
// ended does nothing.
type ReadLease struct {
	l   *lease
	gen uint64
}

// ReserveRead leases the keys that are resident with this layout. Keys that are
// not granted have a Code and a Detail. Later positions of a repeated key report
// what the first one got and hold nothing. The manager keeps keys, which must not
// change afterwards.
func (m *Manager) ReserveRead(at time.Time, keys []kv.Key, layout kv.Layout, o ReadOptions) (ReadLease, error) {
	if err := m.checkCall("ReserveRead", keys, layout); err != nil {
		return ReadLease{}, err
	}
	readers := uint32(min(max(o.Readers, 1), MaxReaders))
	fp := layout.Fingerprint()
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.newLeaseLocked(LeaseRead, keys, layout, o.Owner, at)
	l.promise = o.Promise
	r := lookup{m: m, l: l, readers: readers, look: o.Look, blind: o.Blind, fp: fp}
	for lo := 0; lo < len(keys); lo += maxHold {
		if lo > 0 {
			m.mu.Unlock()
			m.mu.Lock()
		}
		if m.mu.closed {
			m.eachHoldLocked(0, len(keys), func(lo, hi int) {
				m.releaseLocked(l, at, lo, hi, All(len(keys)).clip(len(keys)), readers, CauseAbort, CauseTempRelease)
			})
			m.recycleLocked(l)
			return ReadLease{}, ErrClosed
		}
		m.enterLocked(at)
		r.hold(lo, min(lo+maxHold, len(keys)), at)
	}
	gen := l.gen.Load()
	switch {
	case o.Open && !o.Look:
		l.busy++ // until Seal
	case l.open == 0:
		m.discardLocked(l)
	}
	return ReadLease{l, gen}, nil
}

// lookup is one ReserveRead while it runs.
type lookup struct {
	m       *Manager
	l       *lease
	readers uint32
	look    bool
	blind   bool
	fp      kv.Fingerprint
	names   kv.Names
	chain   chain
}

func (r *lookup) hold(lo, hi int, at time.Time) {
	m, l := r.m, r.l
	m.mu.coverLocked(hi - lo)
	r.chain.resume(m)
	m.prepareLocked(l.keys[lo:hi], &r.names)
	s := &m.mu.scratch
	for i := lo; i < hi; i++ {
		k := &l.keys[i]
		fam := r.chain.step(m, k, s.fp[i-lo], s.fam[i-lo])
		r.grant(i, m.findLocked(k, fam), fam)
	}
	if l.open > 0 && !l.listed {
		m.listLocked(l, at)
	}
	if m.topics.readReserved.Active() {
		if keys := run(l.keys, lo, hi, func(i int) bool { return l.items[i].state == itemOpen }); len(keys) > 0 {
			m.topics.readReserved.PublishAt(ReadReserved{Keys: keys}, at)
		}
	}
}

func (r *lookup) grant(i int, id, fam uint32) {
	m, it := r.m, &r.l.items[i]
	if r.blind {
		it.code, it.detail = KeyNotExist, DetailAbsent
		return
	}
	it.code, it.detail = m.readableLocked(id, fam, r.fp)
	if it.code != Success || r.look {
		return
	}
	e := m.mu.entries.At(id)
	if gen := uint32(r.l.gen.Load()); e.reader != r.l.id || e.readerGen != gen {
		e.reader, e.readerGen, e.readerPos = r.l.id, gen, uint32(i)
	} else { // named before in this list
		*it = item{off: m.offsetLocked(e.buf), entry: e.readerPos, state: itemRepeat}
		return
	}
	m.leaseLocked(r.l, it, id, e, r.readers)
}

// readableLocked says whether an entry (0: none) can be read under a layout.
func (m *Manager) readableLocked(id, fam uint32, fp kv.Fingerprint) (Code, Detail) {
	if id == 0 {
		if fam != 0 && m.mu.families.At(fam).gone == goneRemoved {
			return KeyNotExist, DetailEvicted
		}
		return KeyNotExist, DetailAbsent
	}
	e := m.mu.entries.At(id)
	switch {
	case e.buf == 0:
		return KeyNotReadable, DetailStaged
	case m.mu.layouts[m.mu.bufs.At(e.buf).layout].fp != fp:
		return KeyNotReadable, DetailLayoutMismatch
	}
	return Success, DetailNone
}

// leaseLocked takes holders on a resident entry for an item.
func (m *Manager) leaseLocked(l *lease, it *item, id uint32, e *entry, holders uint32) {
	b := m.mu.bufs.At(e.buf)
	m.pinLocked(id, e)
	if e.pins == 0 {
		m.mu.stats.LeasedBytes += m.mu.layouts[b.layout].phys
		m.mu.stats.ReadingObjects++
	}
	e.pins += holders
	e.refs++
	b.refs++
	*it = item{off: m.mu.arena.Offset(b.b), entry: id, buf: e.buf, holders: holders, state: itemOpen}
	l.open++
}

// All yields the leased buffers by position, until the lease ends. They are
// shared: nobody may write to them.
func (r ReadLease) All() iter.Seq2[int, []byte] { return buffers(r.l, r.gen) }

// Keys are the keys of the lease; nil after it has ended.
func (r ReadLease) Keys() []kv.Key { return keysOf(r.l, r.gen) }

// Code is Success for a leased position and otherwise says why it is not.
func (r ReadLease) Code(i int) Code { return codeOf(r.l, r.gen, i) }

// Detail says more than Code.
func (r ReadLease) Detail(i int) Detail { return detailOf(r.l, r.gen, i) }

// Renew starts the lease's time anew; false: it is no longer live.
func (r ReadLease) Renew(at time.Time) bool { return renew(r.l, r.gen, at) }

// Holders is the number of live holders at a position.
func (r ReadLease) Holders(i int) int {
	if r.l == nil {
		return 0
	}
	r.l.m.mu.Lock()
	defer r.l.m.mu.Unlock()
	if r.l.gen.Load() != r.gen || r.l.items[i].state != itemOpen {
		return 0
	}
	return int(r.l.items[i].holders)
}

// HoldersByPosition is the number of live holders at each position; nil after the
// lease has ended.
func (r ReadLease) HoldersByPosition() []int {
	return r.holders(func(s itemState) bool { return s == itemOpen })
}

// HeldByPosition is HoldersByPosition with those whose time is over, but which have not
// been given back.
func (r ReadLease) HeldByPosition() []int {
	return r.holders(func(s itemState) bool { return s == itemOpen || s == itemLost })
}

func (r ReadLease) holders(in func(itemState) bool) []int {
	if r.l == nil {
		return nil
	}
	r.l.m.mu.Lock()
	defer r.l.m.mu.Unlock()
	if r.l.gen.Load() != r.gen {
		return nil
	}
	n := make([]int, len(r.l.items))
	for i := range r.l.items {
		if it := &r.l.items[i]; in(it.state) {
			n[i] = int(it.holders)
		}
	}
	return n
}

// Once reports true for the first caller on this lease and false ever after.
func (r ReadLease) Once() bool {
	return r.l != nil && r.l.gen.Load() == r.gen && !r.l.once.Swap(true)
}
