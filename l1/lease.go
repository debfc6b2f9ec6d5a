package l1

import (
	"iter"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// maxHold is the most keys that one hold of the mutex handles.
const maxHold = 64

// lease is the record behind the lease values. Records are recycled: a value
// whose generation is not the record's is stale and does nothing. Everything but
// gen, keys, layout, size and the offsets and codes of items (which do not change
// while the lease is open) is guarded by the manager's mutex.
type lease struct {
	m       *Manager
	gen     atomic.Uint64
	once    atomic.Bool
	id      uint32 // position in the manager's table; 0: not in it, holds nothing
	kind    LeaseKind
	promise bool // a read lease whose buffers are used through Take only
	pending bool // a write lease whose new objects have to be stored in an outer tier
	tag     int64
	expired bool // marked: what is left of it is only bytes
	listed  bool
	cursor  int // items that expiry has handled
	open    int // items not settled
	busy    int // operations that are under way: the record is not recycled beneath them
	owner   string
	keys    []kv.Key
	items   []item
	layout  kv.Layout
	began   time.Time
	expires time.Time
	res     reservation // while ReserveWrite runs
	prev    *lease      // by expiry, among those of its kind
	next    *lease
}

// item is a lease's part for one key.
type item struct {
	off     int64 // of the buffer in the arena
	entry   uint32
	buf     uint32
	holders uint32 // of a read lease
	code    Code   // why it was not granted; fixed once the lease is handed out
	detail  Detail // the same
	result  Code   // of the last finish or abort that named the position
	state   itemState
}

type itemState uint8

const (
	itemNone   itemState = iota // not granted
	itemRepeat                  // its key stands earlier in the list, at the position in entry; holds nothing
	itemOpen
	itemLost    // expired: no longer pinned or staged, but the owner still has the bytes
	itemSettled // given back, committed or aborted
)

// Detail says more about why a key was not granted to a reader.
type Detail uint8

// Details.
const (
	DetailNone           Detail = iota
	DetailAbsent                // never seen
	DetailEvicted               // seen, and removed since
	DetailStaged                // being written
	DetailLayoutMismatch        // resident with another layout
	DetailNotLeased             // not leased by this reader
)

// String is the detail's name in events.
func (d Detail) String() string {
	switch d {
	case DetailAbsent:
		return "absent"
	case DetailEvicted:
		return "evicted"
	case DetailStaged:
		return "staged"
	case DetailLayoutMismatch:
		return "layout_mismatch"
	case DetailNotLeased:
		return "not_leased"
	default:
		return ""
	}
}

// newLease takes a record from the pool and opens it for keys.
func (m *Manager) newLease(kind LeaseKind, keys []kv.Key, layout kv.Layout, owner string, at time.Time) *lease {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.newLeaseLocked(kind, keys, layout, owner, at)
}

func (m *Manager) newLeaseLocked(kind LeaseKind, keys []kv.Key, layout kv.Layout, owner string, at time.Time) *lease {
	var l *lease
	if k := len(m.mu.freeLeases); k > 0 {
		l = m.mu.freeLeases[k-1]
		m.mu.freeLeases = m.mu.freeLeases[:k-1]
	} else {
		l = &lease{m: m, id: uint32(len(m.mu.leases))}
		m.mu.leases = append(m.mu.leases, l)
	}
	l.kind, l.keys, l.layout, l.owner, l.began = kind, keys, layout, owner, at
	l.expires = at.Add(time.Hour) // until it is listed
	if cap(l.items) < len(keys) {
		l.items = make([]item, len(keys))
	} else {
		l.items = l.items[:len(keys)]
		clear(l.items)
	}
	return l
}

// listLocked starts the lease's time. Leases of one kind have one TTL and are
// listed by expiry; readings of the clock by two goroutines may arrive swapped,
// hence the walk back.
func (m *Manager) listLocked(l *lease, at time.Time) {
	list := m.expiryLocked(l.kind)
	l.expires = at.Add(list.ttl)
	after := list.tail
	for after != nil && after.expires.After(l.expires) {
		after = after.prev
	}
	l.prev = after
	if after != nil {
		l.next, after.next = after.next, l
	} else {
		l.next, list.head = list.head, l
	}
	if l.next != nil {
		l.next.prev = l
	} else {
		list.tail = l
	}
	l.listed, l.expired, l.cursor = true, false, 0
	m.armLocked()
}

func (m *Manager) unlistLeaseLocked(l *lease) {
	if !l.listed {
		return
	}
	list := m.expiryLocked(l.kind)
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		list.head = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	} else {
		list.tail = l.prev
	}
	l.prev, l.next, l.listed = nil, nil, false
}

// settleLocked counts one item as settled. The operation that settles the last one
// recycles the record when it ends.
func (m *Manager) settleLocked(l *lease, it *item) {
	it.state = itemSettled
	e := m.mu.entries.At(it.entry)
	e.refs--
	m.reapEntryLocked(it.entry, e)
	l.open--
}

// recycleLocked makes all values of the lease stale and puts the record back.
func (m *Manager) recycleLocked(l *lease) {
	m.unlistLeaseLocked(l)
	l.gen.Add(1)
	if cap(l.items) > 4096 {
		l.items = nil
	}
	l.keys, l.layout, l.owner, l.tag = nil, kv.Layout{}, "", 0
	l.expired, l.promise, l.pending, l.cursor = false, false, false, 0
	l.once.Store(false)
	m.mu.freeLeases = append(m.mu.freeLeases, l)
}

// discardLocked takes a record that holds nothing out of the pool, so that the
// codes of its value stay readable for as long as somebody has it.
func (m *Manager) discardLocked(l *lease) {
	repl := &lease{m: m, id: l.id}
	repl.gen.Store(l.gen.Load() + 1) // entries remember leases by id and generation
	m.mu.leases[l.id] = repl
	m.mu.freeLeases = append(m.mu.freeLeases, repl)
	l.id = 0
}

// dead reports whether the lease's time is over.
func (l *lease) dead(now time.Time) bool { return l.expired || !now.Before(l.expires) }

// Select names positions i of a list: Lo <= i < Hi with i mod Stride = Offset; a
// Stride of 0 names every one of the range.
type Select struct{ Lo, Hi, Stride, Offset int }

// All selects n positions.
func All(n int) Select { return Select{Hi: n} }

// clip is s within n positions, with a stride.
func (s Select) clip(n int) Select {
	s.Lo, s.Hi = max(s.Lo, 0), min(s.Hi, n)
	if s.Stride <= 0 {
		s.Stride, s.Offset = 1, 0
	}
	if s.Stride > 1 { // first position that fits
		off := ((s.Offset-s.Lo)%s.Stride + s.Stride) % s.Stride
		s.Lo += off
	}
	return s
}

// Len is the number of positions that s, with all positions in [0, n), selects.
func (s Select) Len(n int) int {
	s = s.clip(n)
	if s.Lo >= s.Hi {
		return 0
	}
	return (s.Hi - s.Lo + s.Stride - 1) / s.Stride
}

// buffers yields the granted buffers of an open lease by position. A buffer has
// the logical length and the physical capacity; it is nil with Options.NoBytes.
func buffers(l *lease, gen uint64) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		if l == nil || l.gen.Load() != gen {
			return
		}
		for i := range l.items {
			if l.items[i].code != Success {
				continue
			}
			if !yield(i, l.buffer(i)) {
				return
			}
		}
	}
}

func (l *lease) buffer(i int) []byte {
	return l.m.arena.At(l.items[i].off, l.layout.Size())
}

// run returns the keys of positions [lo, hi) for which in is true, in order: a
// part of the list itself where they are consecutive.
func run(keys []kv.Key, lo, hi int, in func(int) bool) []kv.Key {
	for lo < hi && !in(lo) {
		lo++
	}
	for hi > lo && !in(hi-1) {
		hi--
	}
	n := 0
	for i := lo; i < hi; i++ {
		if in(i) {
			n++
		}
	}
	if n == hi-lo {
		return keys[lo:hi:hi]
	}
	out := make([]kv.Key, 0, n)
	for i := lo; i < hi; i++ {
		if in(i) {
			out = append(out, keys[i])
		}
	}
	return out
}

// What follows is good while the lease has this generation.

func keysOf(l *lease, gen uint64) []kv.Key {
	if l == nil || l.gen.Load() != gen {
		return nil
	}
	return l.keys
}

func codeOf(l *lease, gen uint64, i int) Code {
	if l == nil || l.gen.Load() != gen {
		return KeyInWrongState
	}
	return l.items[i].code
}

func detailOf(l *lease, gen uint64, i int) Detail {
	if l == nil || l.gen.Load() != gen {
		return DetailNone
	}
	return l.items[i].detail
}

// pieces calls f under the mutex for parts of [lo, hi) of at most maxHold keys,
// the last part first, so that the head of a prompt ends newest; then end, still
// under the mutex. A lease that is settled afterwards is recycled.
func pieces(l *lease, gen uint64, lo, hi int, f, end func(lo, hi int)) {
	if l == nil {
		return
	}
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.gen.Load() != gen || l.id == 0 {
		return
	}
	lo, hi = max(lo, 0), min(hi, len(l.keys))
	if lo >= hi {
		return
	}
	l.busy++
	m.eachHoldLocked(lo, hi, f)
	if end != nil {
		end(lo, hi)
	}
	m.doneLocked(l)
}

// eachHoldLocked calls f for parts of [lo, hi) of at most maxHold keys, the last
// part first, each in a hold of its own.
func (m *Manager) eachHoldLocked(lo, hi int, f func(lo, hi int)) {
	for p := hi; p > lo; {
		if p < hi {
			m.mu.Unlock()
			m.mu.Lock()
		}
		start := max(lo, p-maxHold)
		f(start, p)
		p = start
	}
}

// doneLocked ends an operation on a lease; the last one of a settled lease recycles it.
func (m *Manager) doneLocked(l *lease) {
	if l.busy--; l.busy == 0 && l.open == 0 && l.id != 0 {
		m.recycleLocked(l)
	}
}

func renew(l *lease, gen uint64, at time.Time) bool {
	if l == nil {
		return false
	}
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.gen.Load() != gen || !l.listed || l.dead(at) {
		return false
	}
	m.unlistLeaseLocked(l)
	m.listLocked(l, at)
	return true
}
