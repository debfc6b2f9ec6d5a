package l1

import (
	"fmt"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// WriteMode says which keys a reservation may write.
type WriteMode uint8

// Write modes.
const (
	WriteNew    WriteMode = iota // absent keys only
	WriteUpdate                  // resident keys only: a fresh buffer that replaces the old one at commit
	WriteAll                     // both
)

// String is the mode's name on the wire and in traces.
func (w WriteMode) String() string {
	switch w {
	case WriteUpdate:
		return "update"
	case WriteAll:
		return "all"
	default:
		return "new"
	}
}

// WriteOptions are the optional parts of a reservation.
type WriteOptions struct {
	Owner     string // for events and logs
	Temporary []bool // per key: vanishes with its last reader; nil: none does
	After     kv.Key // predecessor of the first key in the prompt; zero: unknown

	// Tag marks the reservation in a Lapse. One with a Tag of 0 has none.
	Tag int64

	// Pending says that what is committed as new has to be stored in an outer tier:
	// it is not evicted while others can be, until StoresEnded or StoresLate.
	Pending bool
}

// ReserveWrite stages memory of layout for keys, in request order, and evicts
// for it what it must. Keys that are not granted have a Code that says why; the
// ones that got memory are a prefix of those that needed it. The manager keeps
// keys, which must not change afterwards.
//
// An error means that nothing was reserved: invalid arguments or a closed manager.
func (m *Manager) ReserveWrite(at time.Time, keys []kv.Key, layout kv.Layout, mode WriteMode, o WriteOptions) (WriteLease, error) {
	w, err := m.beginWrite(at, keys, layout, mode, o)
	if err != nil {
		return WriteLease{}, err
	}
	return w.endLocked()
}

// beginWrite makes a reservation and goes over its keys once. It returns with the
// mutex held, unless it fails: a reservation of up to maxHold keys is one critical
// section.
func (m *Manager) beginWrite(at time.Time, keys []kv.Key, layout kv.Layout, mode WriteMode, o WriteOptions) (*reservation, error) {
	if err := m.checkCall("ReserveWrite", keys, layout); err != nil {
		return nil, err
	}
	if o.Temporary != nil && len(o.Temporary) != len(keys) {
		return nil, fmt.Errorf("l1: ReserveWrite: Temporary: got %d flags for %d keys", len(o.Temporary), len(keys))
	}
	m.mu.Lock()
	l := m.newLeaseLocked(LeaseWrite, keys, layout, o.Owner, at)
	l.pending, l.tag = o.Pending, o.Tag
	w := &l.res
	*w = reservation{m: m, l: l, mode: mode, temporary: o.Temporary, at: at}
	if o.After.Hash.Len() > 0 {
		w.after = o.After
		w.hasAfter = true
	}
	if len(keys) > maxHold {
		m.mu.Unlock()
		w.foresee()
		m.mu.Lock()
	}
	w.passLocked()
	return w, nil
}

// reservation is one ReserveWrite while it runs.
type reservation struct {
	m         *Manager
	l         *lease
	mode      WriteMode
	temporary []bool
	after     kv.Key // predecessor of the first key
	hasAfter  bool
	at        time.Time
	names     kv.Names
	chain     chain
	safe      *protection // made when it needs victims
	layout    uint32
	full      bool // memory has run out: later keys do not get any
	overQuota bool // a quota was in the way, not memory
	looked    bool // it has looked for victims
	retry     bool // only keys that are out of memory are looked at
	closed    bool
	lo        int // first position of this hold
}

// passLocked goes over all keys, and lets go of the mutex after every maxHold.
func (w *reservation) passLocked() {
	w.chain = chain{}
	for lo := 0; lo < len(w.l.keys); lo += maxHold {
		if lo > 0 {
			w.m.mu.Unlock()
			w.m.mu.Lock()
		}
		w.holdLocked(lo, min(lo+maxHold, len(w.l.keys)))
	}
}

// endLocked hands the lease out and lets go of the mutex.
func (w *reservation) endLocked() (WriteLease, error) {
	m, l := w.m, w.l
	if w.full {
		w.deniedLocked()
	}
	if w.safe != nil {
		w.safe.reset()
		m.mu.protections = append(m.mu.protections, w.safe)
	}
	gen := l.gen.Load()
	switch {
	case w.closed:
		m.abandonLocked(l, AbortShutdown)
		m.mu.Unlock()
		return WriteLease{}, ErrClosed
	case l.open == 0:
		m.discardLocked(l)
	}
	m.mu.Unlock()
	w.zeroPadding()
	*w = reservation{}
	return WriteLease{l, gen}, nil
}

// deniedLocked counts the keys that got no memory, and has the reason logged.
func (w *reservation) deniedLocked() {
	m, denied := w.m, int64(0)
	for i := range w.l.items {
		if w.l.items[i].code == OutOfMemory {
			denied++
		}
	}
	m.mu.stats.DeniedObjects += denied
	if w.overQuota {
		m.mu.stats.DeniedByQuota += denied
		return
	}
	if s, fresh := m.shortageLocked(w); fresh && !m.mu.closed {
		m.warnLocked(s.warning())
	}
}

// holdLocked serves the keys [lo, hi).
func (w *reservation) holdLocked(lo, hi int) {
	m := w.m
	m.roomLocked(w.l.layout.Size(), hi-lo)
	if m.mu.closed || w.closed {
		w.closed = true
		return
	}
	m.enterLocked(w.at)
	m.mu.coverLocked(hi - lo)
	w.layout = m.layoutLocked(w.l.layout)
	m.mu.layouts[w.layout].refs++ // for the length of this hold
	defer m.unrefLayoutLocked(w.layout)

	n := 0
	w.lo = lo
	if w.retry {
		w.settleResults(lo, hi)
	}
	w.chain.resume(m)
	fresh := m.prepareLocked(w.l.keys[lo:hi], &w.names)
	if m.mu.arena.Used() < m.mu.arena.Capacity()-int64(fresh)*m.mu.layouts[w.layout].phys { // else: records that were freed just now
		m.foreseeNewLocked(fresh)
	}
	s := &m.mu.scratch
	if w.hasAfter && lo == 0 {
		w.chain.start(m, &w.after, w.names.Family(&w.after))
	}
	for i := lo; i < hi; i++ {
		if w.classify(i) {
			s.need[n] = int32(i)
			n++
		}
	}
	if n > 0 {
		m.allocateLocked(w, s.need[:n])
	}
	if w.l.open > 0 && !w.l.listed {
		m.listLocked(w.l, w.at)
	}
	if m.topics.writeReserved.Active() {
		granted := run(w.l.keys, lo, hi, func(i int) bool { return w.l.items[i].code == Success && w.l.items[i].result != noResult })
		if len(granted) > 0 {
			m.topics.writeReserved.PublishAt(WriteReserved{Keys: granted}, w.at)
		}
	}
}

// settleResults marks what earlier passes have granted, so that this one does not
// announce it again.
func (w *reservation) settleResults(lo, hi int) {
	for i := lo; i < hi; i++ {
		if it := &w.l.items[i]; it.code == Success {
			it.result = noResult
		}
	}
}

// classify decides whether key i needs memory, and stages an entry for it if so.
func (w *reservation) classify(i int) bool {
	m, k, it := w.m, &w.l.keys[i], &w.l.items[i]
	s := &m.mu.scratch
	fam := w.chain.step(m, k, s.fp[i-w.lo], s.fam[i-w.lo])
	s.fam[i-w.lo] = fam
	if w.retry {
		if it.code != OutOfMemory {
			return false
		}
		it.code = Success
	}
	id := m.findLocked(k, fam)
	if id != 0 {
		e := m.mu.entries.At(id)
		if e.staged != 0 && e.writer != w.l.id && m.mu.leases[e.writer].dead(w.at) {
			m.reclaimLocked(e, w.at)
			if !e.is(flagIndexed) { // the dead staging was all there was
				id = 0
			}
		}
	}
	switch {
	case id == 0 && w.mode == WriteUpdate:
		it.code = KeyNotWritable
		return false
	case id != 0:
		e := m.mu.entries.At(id)
		if w.mode == WriteNew || e.staged != 0 || e.pins > 0 || e.is(flagTemporary) {
			it.code = KeyNotWritable
			if e.buf == 0 {
				it.detail = DetailStaged
			}
			return false
		}
	}
	if w.full {
		it.code = OutOfMemory
		return false
	}
	if id == 0 {
		id = m.newEntryLocked(k, fam)
	}
	it.entry = id
	e := m.mu.entries.At(id)
	e.writer, e.writerPos, e.staged = w.l.id, uint32(i), stagedPending
	return true
}

// stagedPending marks an entry that waits for memory within one hold.
const stagedPending = ^uint32(0)

// grantLocked gives memory to the key at position i.
func (w *reservation) grantLocked(i int, b uint32) {
	m, it := w.m, &w.l.items[i]
	e := m.mu.entries.At(it.entry)
	buf := m.mu.bufs.At(b)
	buf.refs++
	e.staged = b
	e.refs++
	if e.buf != 0 { // a replacement is on its way: not evictable
		if w.safe != nil && evictable(e) {
			w.safe.lose(m.holdingLocked(e))
		}
		m.pinLocked(it.entry, e)
	} else if w.temporary != nil && w.temporary[i] {
		e.flags |= flagTemporary
	}
	it.buf, it.off, it.state = b, m.mu.arena.Offset(buf.b), itemOpen
	w.l.open++
	m.mu.stats.WritingObjects++
	m.mu.stats.StagedBytes += m.mu.layouts[w.layout].phys
}

// denyLocked takes back the staging of a key that got no memory.
func (w *reservation) denyLocked(i int) {
	m, it := w.m, &w.l.items[i]
	it.code = OutOfMemory
	id := it.entry
	e := m.mu.entries.At(id)
	e.staged, e.writer = 0, 0
	it.entry = 0
	if e.buf == 0 {
		m.dropEntryLocked(id, e, goneNever)
	}
	w.full = true
}

// zeroPadding clears what lies between logical and physical size, which storage
// may write out.
func (w *reservation) zeroPadding() {
	w.m.mu.mustBeFree("clearing memory")
	logical := w.l.layout.Size()
	phys := w.m.arena.Physical(logical)
	if w.m.o.NoBytes || phys == logical {
		return
	}
	for i := range w.l.items {
		if w.l.items[i].code == Success {
			clear(w.l.buffer(i)[logical:phys:phys])
		}
	}
}
