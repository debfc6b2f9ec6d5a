package arena

// span is a range of the arena, in units. Spans are linked by address and cover
// everything.
type span struct {
	off, len    uint32
	prev, next  uint32 // neighbours by address; 0: none
	left, right uint32 // children in the tree, if free
	run         uint32 // run that it belongs to; 0: free; or aside
}

// aside in place of a run marks a span that belongs to none and is not to be
// handed out now: it is not ready, or it is to be used last.
const aside = ^uint32(0)

// carve takes the first n units of a free span for a run and returns the span
// that they are then.
func (a *Arena) carve(id, n, run uint32) uint32 {
	a.removeFree(id)
	s := a.spans.At(id)
	s.run = run
	if s.len > n {
		a.insertFree(a.split(id, n))
	}
	return id
}

// split cuts a span that is not in the tree after n units and returns the span
// of the rest, which is free and not in the tree either.
func (a *Arena) split(id, n uint32) uint32 {
	rest := a.spans.New()
	s, r := a.spans.At(id), a.spans.At(rest)
	*r = span{off: s.off + n, len: s.len - n, prev: id, next: s.next}
	if s.next != 0 {
		a.spans.At(s.next).prev = rest
	}
	s.len, s.next = n, rest
	return rest
}

// release makes a span free, but for what is to be used last.
func (a *Arena) release(id uint32) { a.setAside(a.join(id)) }

// join makes a span free, joins it with free neighbours and returns what it then
// is, which is not in the tree.
func (a *Arena) join(id uint32) uint32 {
	s := a.spans.At(id)
	s.run = 0
	if p := s.prev; p != 0 && a.spans.At(p).run == 0 {
		a.removeFree(p)
		a.absorb(p, id)
		id, s = p, a.spans.At(p)
	}
	if n := s.next; n != 0 && a.spans.At(n).run == 0 {
		a.removeFree(n)
		a.absorb(id, n)
	}
	return id
}

// absorb lengthens a span by the one behind it, whose record goes.
func (a *Arena) absorb(id, behind uint32) {
	s, b := a.spans.At(id), a.spans.At(behind)
	s.len += b.len
	if s.next = b.next; s.next != 0 {
		a.spans.At(s.next).prev = id
	}
	a.spans.Free(behind)
}
