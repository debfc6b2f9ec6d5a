package storage

import (
	"cmp"
	"slices"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// release is a number of holders of one position of a prefetch.
type release struct {
	p       *Prefetch
	pos     int
	holders int
}

// FinishReadPart is FinishRead of unclaimed holders for a part of a release that goes on:
// what it gives back goes with the next FinishRead, so that all of it is one release.
func (o *Owner) FinishReadPart(keys []kv.Key, holders int) (failed []int) {
	for i, k := range keys {
		if o.takeUnread(k, holders, &o.put) > 0 {
			failed = append(failed, i)
		}
	}
	return failed
}

// Prefer makes the holds of these leases the first that are taken of their keys, until it is
// called again.
func (o *Owner) Prefer(leases []ReadLease) {
	o.prefer = leases
	for _, l := range leases {
		for pos, k := range l.Keys() {
			list := o.read[k]
			if i := slices.Index(list, readHold{l, pos}); i > 0 {
				copy(list[1:i+1], list[:i])
				list[0] = readHold{l, pos}
			}
		}
	}
}

// takeUnread takes up to n unclaimed holders and returns how many are missing.
func (o *Owner) takeUnread(k kv.Key, n int, to *[]release) int {
	for n > 0 {
		h := o.holder(k)
		if h == nil {
			break
		}
		take := min(n, h.left)
		n -= take
		if h.left -= take; h.left == 0 {
			h.left = 1
			o.claim(h) // takes it from the table
			o.open--
		}
		*to = append(*to, release{h.p, h.pos, take})
	}
	return n
}

// release gives back what was put aside, the prefetches in their order and of each the last
// position first: the order of a release of all of it in one call, which decides what
// a policy remembers of objects that vanish.
func (o *Owner) release() {
	for len(o.put) > 0 {
		p := o.put[0].p
		var own, others []release
		for _, r := range o.put {
			if r.p == p {
				own = append(own, r)
			} else {
				others = append(others, r)
			}
		}
		o.put = others
		slices.SortStableFunc(own, func(a, b release) int { return cmp.Compare(a.pos, b.pos) })
		for hi := len(own); hi > 0; {
			lo, sel := runOfReleases(own[:hi])
			p.ReleaseRange(sel, own[lo].holders)
			hi = lo
		}
	}
}

// runOfReleases is the longest end of a list in order of positions that one selection
// names, with as many holders each, and where it begins.
func runOfReleases(list []release) (lo int, s Select) {
	last := len(list) - 1
	lo, step := last, 1
	for lo > 0 && list[lo-1].holders == list[last].holders {
		d := list[lo].pos - list[lo-1].pos
		if d == 0 || lo < last && d != step {
			break
		}
		lo, step = lo-1, d
	}
	at := list[lo].pos
	return lo, Select{Lo: at, Hi: list[last].pos + 1, Stride: step, Offset: at % step}
}

// selectOne is the selection of one position.
func selectOne(pos int) Select { return Select{Lo: pos, Hi: pos + 1} }

// extend adds a position to a selection, whose last one is before Hi, if it is at
// the distance that the others have.
func extend(s *Select, pos int) bool {
	step := pos - (s.Hi - 1)
	if step <= 0 || s.Hi-s.Lo > 1 && step != s.Stride {
		return false
	}
	s.Hi, s.Stride, s.Offset = pos+1, step, pos%step
	return true
}
