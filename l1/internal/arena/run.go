package arena

import "math/bits"

const (
	maxSlots = 256     // objects in a run
	runBytes = 4 << 20 // size of a run of small objects
	minRuns  = 64      // runs of small objects that the arena must have room for

	// Measured over mixes of two to five sizes, in random order and in order of
	// arrival: after a change of the mix 12 % more of the arena is in use with these
	// than without shedding, and no mix is worse off. Breaking up everything as soon
	// as it helps scatters small spans of all sizes, which costs up to 13 %.
	shedShare = 8  // a class sheds when more than this part of its slots is free
	shedArena = 64 // and the free slots are more than this part of the arena
)

// run is a span cut into equal slots. It is 64 bytes, one cache line. Once broken
// up it owns no span as a whole: each slot in use has a span of its own, in the
// piece table, and the free ones are gone.
type run struct {
	off   uint32 // of slot 0, in units
	units uint32 // of a slot
	class uint32
	span  uint32
	block uint32 // of pieces, if broken; else 0
	prev  uint32 // among the runs of the class that have free slots
	next  uint32
	n     uint16 // slots
	live  uint16 // slots in use
	free  [maxSlots / 64]uint64
}

func (r *run) isFree(slot uint32) bool { return r.free[slot>>6]&(1<<(slot&63)) != 0 }

// addRun makes a run for objects of units and returns its class, which it makes
// if there is none (cid is 0). It returns 0 if there is no room for one object.
func (a *Arena) addRun(cid, units uint32) uint32 {
	n := min(max(a.chunk/units, 1), maxSlots)
	sid := a.fit(n * units)
	if sid == 0 {
		if sid = a.largest(); sid == 0 || a.spans.At(sid).len < units {
			return 0
		}
		n = a.spans.At(sid).len / units
	}
	if cid == 0 {
		cid = a.addClass(units)
	}
	c := a.classes.At(cid)
	c.runs++
	c.slots += int64(n)
	id := a.runs.New()
	r := a.runs.At(id)
	*r = run{off: a.spans.At(sid).off, units: units, class: cid, span: sid, n: uint16(n)}
	for i := range r.free {
		switch left := int(n) - 64*i; {
		case left >= 64:
			r.free[i] = ^uint64(0)
		case left > 0:
			r.free[i] = 1<<left - 1
		}
	}
	a.carve(sid, n*units, id)
	a.held += int64(n * units)
	c.push(a, id, r)
	return cid
}

// takeSlot takes the first free slot of the class's first run that has one.
func (a *Arena) takeSlot(cid uint32) Buf {
	c := a.classes.At(cid)
	id := c.partial
	r := a.runs.At(id)
	w := 0
	for r.free[w] == 0 {
		w++
	}
	slot := uint32(w<<6 | bits.TrailingZeros64(r.free[w]))
	r.free[w] &= r.free[w] - 1
	if r.live++; r.live == r.n {
		c.cut(a, r)
	}
	c.live++
	a.used += int64(r.units)
	return Buf{run: id, slot: slot}
}

// returnSlot frees a slot, and its run with the last one.
func (a *Arena) returnSlot(b Buf) {
	r := a.runs.At(b.run)
	c := a.classes.At(r.class)
	r.free[b.slot>>6] |= 1 << (b.slot & 63)
	r.live--
	c.live--
	a.used -= int64(r.units)
	switch {
	case r.block != 0:
		a.release(*a.piece(r, b.slot))
		a.held -= int64(r.units)
		c.slots--
		if r.live > 0 {
			return
		}
		a.blocks.Free(r.block)
	case r.live > 0:
		if r.live == r.n-1 {
			c.push(a, b.run, r)
		}
		return
	default:
		if r.n > 1 {
			c.cut(a, r)
		}
		a.release(r.span)
		a.held -= int64(r.n) * int64(r.units)
		c.slots -= int64(r.n)
	}
	if c.runs--; c.runs == 0 {
		a.dropClass(r.class)
	}
	r.n = 0 // for mustOwn
	a.runs.Free(b.run)
}

// Reclaim breaks up all runs that are partly in use, so that every free byte is
// available to objects of any size that fits between those in use. It reports
// whether there were any. Pieces stay where they are. The work is proportional to
// the number of slots of those runs; it is meant for the case that nothing else
// can make room.
func (a *Arena) Reclaim() bool {
	broken := false
	for _, c := range a.classes.All() {
		for id := c.partial; id != 0; id = c.partial {
			a.breakUp(id, c)
			broken = true
		}
	}
	return broken
}

// shed breaks up one run of a class that keeps much more than it uses. It reports
// whether there was one. The work is bounded, about 20 us for a run of 128 slots.
func (a *Arena) shed() bool {
	if a.held-a.used <= int64(a.units/shedArena) {
		return false
	}
	for _, c := range a.classes.All() {
		if free := c.slots - c.live; free*shedShare > c.slots && free*int64(c.units) > int64(a.units/shedArena) {
			a.breakUp(c.partial, c)
			return true
		}
	}
	return false
}

// breakUp gives each slot in use of a run a span of its own and makes the rest
// free.
func (a *Arena) breakUp(id uint32, c *class) {
	r := a.runs.At(id)
	c.cut(a, r)
	c.slots -= int64(r.n - r.live)
	a.held -= int64(r.n-r.live) * int64(r.units)
	rest := r.span
	r.span, r.block = 0, a.blocks.New()
	for i, n := uint32(0), uint32(r.n); i < n; {
		free, end := r.isFree(i), i+1
		for free && end < n && r.isFree(end) {
			end++
		}
		cur := rest
		if end < n {
			rest = a.split(cur, (end-i)*r.units)
			a.spans.At(rest).run = id
		}
		if free {
			a.release(cur)
		} else {
			*a.pieces.Grow(r.block*maxSlots + i) = cur
		}
		i = end
	}
}

// piece is the span of a slot in use of a broken run.
func (a *Arena) piece(r *run, slot uint32) *uint32 {
	return a.pieces.At(r.block*maxSlots + slot)
}

// mustOwn panics if nobody has the piece: a second release of one, or one of
// another arena. It looks at nothing but the record that is needed next.
func (a *Arena) mustOwn(b Buf) {
	if r := a.runs.At(b.run); b.slot >= uint32(r.n) || r.isFree(b.slot) {
		panic("arena: release of a piece that is not handed out")
	}
}
