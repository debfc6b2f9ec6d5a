package lmcache

import (
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// task is one prefetch of a match: consecutive chunks of one object group, all
// ranks. Its counts are guarded by the match's mutex.
type task struct {
	g      *objectGroup
	p      *storage.Prefetch
	lo, hi int                        // chunks
	taken  []uint8                    // per position: the session's holders that were claimed or freed; nil: none were
	turns  map[*member]storage.Bitmap // over chunks from lo: which a worker has had its turn at; unused with one reader
}

// sel selects chunks [lo, hi), of one rank or, if it is negative, of all.
func (t *task) sel(world, lo, hi, rank int) storage.Select {
	s := storage.Select{Lo: (lo - t.lo) * world, Hi: (hi - t.lo) * world}
	if rank >= 0 {
		s.Stride, s.Offset = world, rank
	}
	return s
}

// claim is a run of chunks that a worker asks for.
type claim struct {
	lo, hi int
	ours   bool // it has its turn at the session's holders; else it needs fresh ones
}

// claim gives a worker its one turn at the holders of its rank on chunks [lo, hi),
// as far as there are any left, and appends what became of it to dst. It needs the
// match's mutex.
func (t *task) claim(dst []claim, w *member, readers, lo, hi int) []claim {
	world := w.key.world
	had := t.turnsOf(w, readers)
	t.count(world)
	for c := lo; c < hi; c++ {
		at := (c-t.lo)*world + w.rank
		ours := !had.Has(c-t.lo) && int(t.taken[at]) < readers
		if ours {
			t.taken[at]++
		}
		if readers > 1 {
			had.Set(c - t.lo)
		}
		if n := len(dst); n > 0 && dst[n-1].hi == c && dst[n-1].ours == ours {
			dst[n-1].hi++
		} else {
			dst = append(dst, claim{c, c + 1, ours})
		}
	}
	return dst
}

// turnsOf is where a worker has had its turn. With one reader the counts tell all:
// no second turn can be had.
func (t *task) turnsOf(w *member, readers int) storage.Bitmap {
	if readers == 1 {
		return storage.Bitmap{}
	}
	had, ok := t.turns[w]
	if !ok {
		if t.turns == nil {
			t.turns = make(map[*member]storage.Bitmap)
		}
		had = storage.NewBitmap(t.hi - t.lo)
		t.turns[w] = had
	}
	return had
}

// count makes the counts.
func (t *task) count(world int) {
	if t.taken == nil {
		t.taken = make([]uint8, (t.hi-t.lo)*world)
	}
}

// given is so many holders of each selected object that go back.
type given struct {
	p       *storage.Prefetch
	s       storage.Select
	holders int
}

// free counts holders as given back, as far as there are any that no worker has
// claimed, and appends them to dst. It needs the match's mutex.
func (t *task) free(dst []given, world, readers int, f freeing) []given {
	lo, hi := max(f.lo, t.lo), min(f.hi, t.hi)
	if lo >= hi {
		return dst
	}
	t.count(world)
	s := t.sel(world, lo, hi, f.rank)
	last := 0 // holders of the last selected object
	for i := s.Lo; i < s.Hi; i++ {
		if f.rank >= 0 && i%world != f.rank {
			continue
		}
		n := min(f.holders, readers-int(t.taken[i]))
		t.taken[i] += uint8(n)
		if n > 0 && n != last {
			g := given{t.p, s, n}
			g.s.Lo = i
			dst = append(dst, g)
		}
		if last = n; n > 0 {
			dst[len(dst)-1].s.Hi = i + 1
		}
	}
	return dst
}

// keep gives back everything but chunks [lo, hi).
func (t *task) keep(world, lo, hi int) {
	r, _ := t.p.Status()
	lo, hi = max(lo, t.lo), min(hi, t.hi)
	if lo >= hi {
		lo, hi = t.hi, t.hi
	}
	t.trim(r.Found, t.sel(world, t.lo, lo, -1))
	t.trim(r.Found, t.sel(world, hi, t.hi, -1))
}

// trim gives back what was found of a selection.
func (t *task) trim(found storage.Bitmap, s storage.Select) {
	for i := s.Lo; i < s.Hi; i++ {
		if found.Has(i) {
			t.p.ReleaseRange(s, l1.MaxReaders)
			return
		}
	}
}
