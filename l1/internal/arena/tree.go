package arena

// The free spans are a treap (Seidel and Aragon, 1996): a search tree by length,
// then offset, and a heap by priority. The priority is a hash of the offset
// rather than a random number, so that the shape depends on the content alone.

// priority is the 32-bit finaliser of MurmurHash3, a bijection: no two spans have
// the same.
func priority(s *span) uint32 {
	h := s.off
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}

// before is the order of the tree.
func (s *span) before(t *span) bool {
	return s.len < t.len || s.len == t.len && s.off < t.off
}

// insertFree puts a span into the tree.
func (a *Arena) insertFree(id uint32) {
	s := a.spans.At(id)
	p := priority(s)
	link := &a.root
	for *link != 0 {
		t := a.spans.At(*link)
		if p > priority(t) {
			break
		}
		if s.before(t) {
			link = &t.left
		} else {
			link = &t.right
		}
	}
	// s takes the place of the subtree that hangs here, which is divided by it.
	t := *link
	*link = id
	left, right := &s.left, &s.right
	for t != 0 {
		n := a.spans.At(t)
		if n.before(s) {
			*left, left, t = t, &n.right, n.right
		} else {
			*right, right, t = t, &n.left, n.left
		}
	}
	*left, *right = 0, 0
}

// removeFree takes a span out of the tree.
func (a *Arena) removeFree(id uint32) {
	s := a.spans.At(id)
	link := &a.root
	for *link != id {
		if t := a.spans.At(*link); s.before(t) {
			link = &t.left
		} else {
			link = &t.right
		}
	}
	// The two subtrees are merged in its place.
	l, r := s.left, s.right
	for l != 0 && r != 0 {
		nl, nr := a.spans.At(l), a.spans.At(r)
		if priority(nl) > priority(nr) {
			*link, link, l = l, &nl.right, nl.right
		} else {
			*link, link, r = r, &nr.left, nr.left
		}
	}
	*link = l | r // at most one is not 0
	s.left, s.right = 0, 0
}

// fit is the smallest free span of at least n units, the first one by address
// among equals, or 0.
func (a *Arena) fit(n uint32) uint32 {
	var best uint32
	for t := a.root; t != 0; {
		if s := a.spans.At(t); s.len >= n {
			best, t = t, s.left
		} else {
			t = s.right
		}
	}
	return best
}

// largest is the longest free span, or 0 when nothing is free.
func (a *Arena) largest() uint32 {
	t := a.root
	for t != 0 {
		r := a.spans.At(t).right
		if r == 0 {
			break
		}
		t = r
	}
	return t
}

// Available is how many pieces of size Alloc would return in a row now without
// breaking up runs of other sizes and without what is to be used last, at most limit. The work is proportional to the
// result.
func (a *Arena) Available(size int64, limit int) int {
	units := a.unitsOf(size)
	if units == 0 || a.off || limit <= 0 {
		return 0
	}
	n := 0
	if cid := a.findClass(units); cid != 0 {
		c := a.classes.At(cid)
		n = int(c.slots - c.live)
	}
	if n < limit {
		n += a.count(a.root, units, limit-n)
	}
	return min(n, limit)
}

// count is how many objects of units the spans of a subtree can hold, from the
// longest down, until there are limit.
func (a *Arena) count(id, units uint32, limit int) int {
	n := 0
	for id != 0 && n < limit {
		s := a.spans.At(id)
		n += a.count(s.right, units, limit-n)
		if s.len < units {
			break
		}
		n += int(s.len / units)
		id = s.left
	}
	return n
}
