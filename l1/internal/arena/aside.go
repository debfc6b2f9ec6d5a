package arena

import (
	"slices"
	"sort"
)

// reserved is a range that is used last, in units.
type reserved struct {
	lo, hi uint32
	span   uint32 // while it is set aside; 0: it is in use, in part or as a whole, or was called back
}

// Ready is the number of bytes from the start that may be handed out.
func (a *Arena) Ready() int64 {
	if a.tail == 0 {
		return a.Size()
	}
	return int64(a.spans.At(a.tail).off) << a.shift
}

// Advance makes everything below an offset, a multiple of the alignment, ready to
// be handed out. An offset that is not above Ready changes nothing; one above Size
// means all. What is ready grows from the start only, so that nothing is lost at
// the borders of steps.
func (a *Arena) Advance(bytes int64) {
	to := uint32(min(int64(a.units), bytes>>a.shift))
	if a.tail == 0 || a.lost.Load() > 0 || to <= a.spans.At(a.tail).off {
		return
	}
	id := a.tail
	if s := a.spans.At(id); to < s.off+s.len {
		a.tail = a.split(id, to-s.off)
		a.spans.At(a.tail).run = aside
	} else {
		a.tail = 0
	}
	a.release(id)
}

// Cut gives up what is not ready: it never will be, and Capacity shrinks by it.
func (a *Arena) Cut() {
	if a.tail != 0 {
		a.lost.Store(int64(a.spans.At(a.tail).len))
	}
}

// Postpone names a range of bytes that is to be used when there is no other room,
// from the next time that it is free as a whole. Its borders are multiples of the
// alignment, and ranges do not overlap; a range that was named before is ignored.
func (a *Arena) Postpone(lo, hi int64) {
	l := reserved{lo: uint32(lo >> a.shift), hi: uint32(min(int64(a.units), hi>>a.shift))}
	i, found := a.findLasting(l.lo)
	if found || l.lo >= l.hi {
		return
	}
	a.lasting = slices.Insert(a.lasting, i, l)
	if id := a.around(a.root, &l); id != 0 {
		a.removeFree(id)
		a.setAside(id)
	}
}

// around is the free span of a subtree that contains a range, or 0. It looks at
// the spans that are long enough only.
func (a *Arena) around(id uint32, l *reserved) uint32 {
	for id != 0 {
		s := a.spans.At(id)
		if s.len >= l.hi-l.lo {
			if s.off <= l.lo && s.off+s.len >= l.hi {
				return id
			}
			if found := a.around(s.left, l); found != 0 {
				return found
			}
		}
		id = s.right
	}
	return 0
}

// Prefer takes back what Postpone said of the range that begins at lo.
func (a *Arena) Prefer(lo int64) {
	i, found := a.findLasting(uint32(lo >> a.shift))
	if !found {
		return
	}
	id := a.lasting[i].span
	a.lasting = slices.Delete(a.lasting, i, i+1)
	if id != 0 {
		a.reserved--
		a.release(id)
	}
}

func (a *Arena) findLasting(lo uint32) (int, bool) {
	return sort.Find(len(a.lasting), func(i int) int { return int(int64(lo) - int64(a.lasting[i].lo)) })
}

// setAside puts a free span into the tree without the ranges in it that are to be
// used last.
func (a *Arena) setAside(id uint32) {
	for len(a.lasting) > 0 {
		s := a.spans.At(id)
		i, _ := a.findLasting(s.off)
		if i == len(a.lasting) || a.lasting[i].hi > s.off+s.len {
			break
		}
		l := &a.lasting[i]
		if l.lo > s.off {
			rest := a.split(id, l.lo-s.off)
			a.insertFree(id)
			id = rest
		}
		var rest uint32
		if s := a.spans.At(id); s.off+s.len > l.hi {
			rest = a.split(id, l.hi-l.lo)
		}
		a.spans.At(id).run = aside
		l.span = id
		a.reserved++
		if rest == 0 {
			return
		}
		id = rest
	}
	a.insertFree(id)
}

// recall makes the first range that is set aside available; false: there is none.
func (a *Arena) recall() bool {
	if a.reserved == 0 {
		return false
	}
	i := slices.IndexFunc(a.lasting, func(l reserved) bool { return l.span != 0 })
	l := &a.lasting[i]
	id := l.span
	l.span = 0
	a.reserved--
	a.insertFree(a.join(id))
	return true
}

// LargestFree is the size in bytes of the longest range that no run has, with what
// is not ready and what is to be used last. Free slots of runs are not in it.
func (a *Arena) LargestFree() int64 {
	var best, end uint32
	if id := a.largest(); id != 0 {
		best = a.spans.At(id).len
	}
	for _, l := range a.lasting {
		if l.span != 0 && l.lo >= end { // else it was part of the stretch before
			lo, hi := a.stretch(l.span)
			best, end = max(best, hi-lo), hi
		}
	}
	if a.usable(a.tail) {
		lo, hi := a.stretch(a.tail)
		best = max(best, hi-lo)
	}
	return int64(best) << a.shift
}

// stretch is a span together with what no run has on both sides.
func (a *Arena) stretch(id uint32) (lo, hi uint32) {
	first, last := a.spans.At(id), a.spans.At(id)
	for a.usable(first.prev) {
		first = a.spans.At(first.prev)
	}
	for a.usable(last.next) {
		last = a.spans.At(last.next)
	}
	return first.off, last.off + last.len
}

// usable reports whether a span is one that no run has and that is not lost.
func (a *Arena) usable(id uint32) bool {
	if id == 0 || id == a.tail && a.lost.Load() > 0 {
		return false
	}
	run := a.spans.At(id).run
	return run == 0 || run == aside
}
