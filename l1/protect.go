package l1

import (
	"slices"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// protection is the families that one reservation may not evict: those of its
// keys and their ancestors, by fingerprint. It is made when the reservation first
// needs victims and kept over its holds. A fingerprint stays good when the family
// behind it goes or comes between two holds.
//
// It also knows how much could be evicted of them, which the reservation must not
// count on: an upper bound that costs nothing to keep, and the exact number where
// the bound is not good enough.
type protection struct {
	slots   []uint64 // open addressing; 0: free
	zero    bool     // fingerprint 0 is in
	fps     []uint64 // all others, in order
	strands []strand // parts of the key list, each of which is one chain
	begun   bool     // all strands have been climbed

	bytes  holding // of the families, when they were counted
	gained holding // of the manager, then
	turns  uint64  // the same
	exact  bool    // bytes was right then
	counts int     // how often all was counted
}

// strand is a chain in the key list of a reservation.
type strand struct {
	pos int    // of its first key
	top uint32 // the farthest ancestor that is protected
	gen uint32
}

// holding is evictable bytes: those that an eviction gives back to the arena, and
// those that it takes off a tenant's account, which readers may still hold.
type holding struct{ free, owned int64 }

// lose notes that one of the families' entries has ceased to be evictable.
func (p *protection) lose(h holding) {
	p.bytes.free -= h.free
	p.bytes.owned -= h.owned
	p.turns++
}

func (h *holding) add(o holding) { h.free += o.free; h.owned += o.owned }

// add puts a fingerprint in and reports whether it is new.
func (p *protection) add(fp uint64) bool {
	if fp == 0 {
		isNew := !p.zero
		p.zero = true
		return isNew
	}
	if 2*len(p.fps) >= len(p.slots) {
		p.grow()
	}
	i := p.find(fp)
	if p.slots[i] == fp {
		return false
	}
	p.slots[i] = fp
	p.fps = append(p.fps, fp)
	return true
}

func (p *protection) grow() {
	p.slots = make([]uint64, max(2*maxHold, 2*len(p.slots)))
	for _, fp := range p.fps {
		p.slots[p.find(fp)] = fp
	}
}

// find is the slot of a fingerprint, or the free one where it would be. They are
// as good as random.
func (p *protection) find(fp uint64) uint64 {
	mask := uint64(len(p.slots) - 1)
	i := fp & mask
	for p.slots[i] != 0 && p.slots[i] != fp {
		i = (i + 1) & mask
	}
	return i
}

func (p *protection) has(fp uint64) bool {
	if fp == 0 {
		return p.zero
	}
	return len(p.slots) > 0 && p.slots[p.find(fp)] == fp
}

// maxKept is the longest list of fingerprints whose memory is kept for later.
const maxKept = 4096

// reset empties p for the next reservation.
func (p *protection) reset() {
	if cap(p.fps) > maxKept || cap(p.strands) > maxKept {
		*p = protection{}
		return
	}
	for _, fp := range slices.Backward(p.fps) { // the last one in is in nobody's way
		p.slots[p.find(fp)] = 0
	}
	*p = protection{slots: p.slots, fps: p.fps[:0], strands: p.strands[:0]}
}

// newProtectionLocked takes one from the pool.
func (m *Manager) newProtectionLocked() *protection {
	k := len(m.mu.protections)
	if k == 0 {
		return &protection{}
	}
	p := m.mu.protections[k-1]
	m.mu.protections = m.mu.protections[:k-1]
	return p
}

// protect puts the keys of the reservation in.
func (w *reservation) protect(p *protection) {
	var n kv.Names
	keys := w.l.keys
	for i := range keys {
		p.add(n.Family(&keys[i]))
		if i == 0 || !sameChain(&keys[i], &keys[i-1]) {
			p.strands = append(p.strands, strand{pos: i})
		}
	}
	w.safe = p
}

// foresee builds the protection of a long reservation that will need victims,
// outside the mutex, and counts what it may not evict in holds of the usual length.
func (w *reservation) foresee() {
	m, keys := w.m, w.l.keys
	if len(keys) <= maxHold {
		return
	}
	m.mu.Lock()
	if m.mu.arena.Capacity()-m.mu.arena.Used() >= int64(len(keys))*m.arena.Physical(w.l.layout.Size()) && len(m.mu.limits) == 0 {
		m.mu.Unlock()
		return
	}
	p := m.newProtectionLocked()
	m.mu.Unlock()
	w.protect(p)
	for lo := 0; lo < len(p.fps); lo += maxHold {
		m.mu.Lock()
		if lo == 0 {
			p.gained, p.turns = m.mu.gained, m.mu.turns
		}
		for _, fp := range p.fps[lo:min(lo+maxHold, len(p.fps))] {
			p.bytes.add(m.evictableOfLocked(fp))
		}
		p.exact = p.turns == m.mu.turns
		m.mu.Unlock()
	}
}

// protectLocked is the reservation's protection, brought up to date for this hold.
func (m *Manager) protectLocked(w *reservation) *protection {
	p := w.safe
	if p == nil {
		p = m.newProtectionLocked()
		if len(w.l.keys) <= maxHold {
			m.protectHoldLocked(w, p)
		} else {
			w.protect(p)
			m.countLocked(p)
		}
	}
	for i := range p.strands {
		// Later, only what this hold has linked can be new, and what has grown at the top.
		if r := &p.strands[i]; !p.begun || r.pos == 0 || r.pos >= w.lo && r.pos < w.lo+maxHold {
			m.climbLocked(w, p, r)
		}
	}
	p.begun = true
	return p
}

// protectHoldLocked is protect for a list of one hold, whose families are known.
func (m *Manager) protectHoldLocked(w *reservation, p *protection) {
	keys, s := w.l.keys, &m.mu.scratch
	p.gained, p.turns, p.exact = m.mu.gained, m.mu.turns, true
	for i := range keys {
		if p.add(s.fp[i]) {
			p.bytes.add(m.evictableOfFamilyLocked(s.fam[i]))
		}
		if i == 0 || !sameChain(&keys[i], &keys[i-1]) {
			p.strands = append(p.strands, strand{pos: i})
		}
	}
	w.safe = p
}

// climbLocked puts the ancestors of a strand in, from the farthest that is known.
func (m *Manager) climbLocked(w *reservation, p *protection, r *strand) {
	id := r.top
	if id == 0 || m.mu.families.At(id).gen != r.gen {
		var n kv.Names
		if id = m.peekFamilyLocked(n.Family(&w.l.keys[r.pos])); id == 0 {
			return
		}
	}
	for range maxWalk {
		f := m.mu.families.At(id)
		r.top, r.gen = id, f.gen
		if id = m.predecessorLocked(f); id == 0 {
			return
		}
		if p.add(m.mu.families.At(id).fp) {
			p.bytes.add(m.evictableOfFamilyLocked(id))
		}
	}
}

// countLocked makes the bytes of a protection exact.
func (m *Manager) countLocked(p *protection) {
	p.bytes = holding{}
	p.counts++
	for _, fp := range p.fps {
		p.bytes.add(m.evictableOfLocked(fp))
	}
	if p.zero {
		p.bytes.add(m.evictableOfLocked(0))
	}
	p.gained, p.turns, p.exact = m.mu.gained, m.mu.turns, true
}

// keepsLocked is how much of what is evictable the protection keeps, given how
// much of it is wanted, of one kind or the other: a bound if that leaves enough,
// else the exact number.
func (m *Manager) keepsLocked(p *protection, have, want holding) holding {
	bound := holding{
		p.bytes.free + m.mu.gained.free - p.gained.free,
		p.bytes.owned + m.mu.gained.owned - p.gained.owned,
	}
	if (want.free <= 0 || have.free-bound.free >= want.free) && (want.owned <= 0 || have.owned-bound.owned >= want.owned) {
		return bound
	}
	if !p.exact || p.turns != m.mu.turns {
		m.countLocked(p)
	}
	return p.bytes
}

// evictableOfLocked is what could be evicted of the family of a fingerprint.
func (m *Manager) evictableOfLocked(fp uint64) holding {
	return m.evictableOfFamilyLocked(m.peekFamilyLocked(fp))
}

// evictableOfFamilyLocked is what could be evicted of a family (0: none).
func (m *Manager) evictableOfFamilyLocked(id uint32) (h holding) {
	if id == 0 {
		return h
	}
	for member := m.mu.families.At(id).head; member != 0; {
		e := m.mu.entries.At(member)
		if evictable(e) {
			h.add(m.holdingLocked(e))
		}
		member = e.sibling
	}
	return h
}

// holdingLocked is what the eviction of an entry gives back.
func (m *Manager) holdingLocked(e *entry) holding {
	b := m.mu.bufs.At(e.buf)
	phys := m.mu.layouts[b.layout].phys
	h := holding{owned: phys}
	if b.refs == 0 {
		h.free = phys
	}
	return h
}

func evictable(e *entry) bool { return e.is(flagTracked) && !e.is(flagPinned) }

// gainLocked notes that an entry has become evictable.
func (m *Manager) gainLocked(e *entry) {
	h := m.holdingLocked(e)
	m.mu.stats.EvictableBytes += h.free
	m.mu.salts.recs[e.salt].evictable += h.owned
	m.mu.gained.add(h)
	m.mu.turns++
	m.freedLocked()
	m.wakeForLocked(e.salt)
}

// gainFreeLocked notes that nobody uses the buffer of an evictable entry any more.
func (m *Manager) gainFreeLocked(phys int64) {
	m.mu.stats.EvictableBytes += phys
	m.mu.gained.free += phys
	m.mu.turns++
	m.freedLocked()
	m.wakeLocked()
}

// loseLocked notes that an entry is not evictable any more.
func (m *Manager) loseLocked(e *entry) {
	h := m.holdingLocked(e)
	m.mu.stats.EvictableBytes -= h.free
	m.mu.salts.recs[e.salt].evictable -= h.owned
	m.mu.turns++
}
