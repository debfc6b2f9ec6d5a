package arena

import (
	"errors"
	"fmt"
	"math/bits"
)

// Check verifies all of the arena's bookkeeping and reports the first thing that
// is wrong. It changes nothing and takes time proportional to the number of spans
// and runs.
func (a *Arena) Check() error {
	free, err := a.checkSpans()
	if err != nil {
		return err
	}
	if n, err := a.checkTree(a.root, nil, nil); err != nil || n != free {
		return errors.Join(err, expect("spans in the tree", n, free))
	}
	return a.checkRuns()
}

// checkSpans walks the spans by address and returns how many are free.
func (a *Arena) checkSpans() (free int, err error) {
	var off, prev uint32
	seen, away := 0, 0
	for id := a.first; id != 0; id = a.spans.At(id).next {
		if !a.spans.Has(id) {
			return 0, fmt.Errorf("arena: span %d is linked but not in use", id)
		}
		s := a.spans.At(id)
		switch {
		case s.off != off || s.len == 0 || s.prev != prev:
			return 0, fmt.Errorf("arena: span %d does not follow the one before: %+v at %d", id, *s, off)
		case s.run == 0 && prev != 0 && a.spans.At(prev).run == 0:
			return 0, fmt.Errorf("arena: spans %d and %d are free and not joined", prev, id)
		case s.run == aside:
			away++
		case s.run != 0 && !a.runs.Has(s.run):
			return 0, fmt.Errorf("arena: span %d belongs to run %d, which is not in use", id, s.run)
		case s.run == 0:
			free++
		}
		off, prev = off+s.len, id
		seen++
	}
	if err := a.checkAside(away); err != nil {
		return 0, err
	}
	return free, errors.Join(expect("units covered by spans", off, a.units), expect("spans linked", seen, a.spans.Len()))
}

// checkAside verifies the ranges to be used last and the tail; there are away
// spans set aside.
func (a *Arena) checkAside(away int) error {
	n, end := 0, uint32(0)
	for _, l := range a.lasting {
		if l.lo >= l.hi || l.lo < end || l.hi > a.units {
			return fmt.Errorf("arena: the range %+v to be used last is not behind the one before", l)
		}
		end = l.hi
		if l.span == 0 {
			continue
		}
		n++
		if s := a.spans.At(l.span); s.run != aside || s.off != l.lo || s.off+s.len != l.hi {
			return fmt.Errorf("arena: the range %+v is set aside as span %+v", l, *s)
		}
	}
	if err := expect("ranges set aside", a.reserved, n); err != nil {
		return err
	}
	if a.tail != 0 {
		n++
		if s := a.spans.At(a.tail); s.run != aside || s.next != 0 || s.off+s.len != a.units {
			return fmt.Errorf("arena: the tail is %+v", *s)
		}
	}
	return expect("spans set aside", away, n)
}

// checkTree verifies a subtree, whose spans lie between lo and hi, and returns
// how many it has.
func (a *Arena) checkTree(id uint32, lo, hi *span) (int, error) {
	if id == 0 {
		return 0, nil
	}
	s := a.spans.At(id)
	if !a.spans.Has(id) || s.run != 0 {
		return 0, fmt.Errorf("arena: span %d is in the tree and not free", id)
	}
	if lo != nil && !lo.before(s) || hi != nil && !s.before(hi) {
		return 0, fmt.Errorf("arena: span %d is out of order in the tree", id)
	}
	for _, c := range []uint32{s.left, s.right} {
		if c != 0 && priority(a.spans.At(c)) > priority(s) {
			return 0, fmt.Errorf("arena: span %d hangs below one of less priority", c)
		}
	}
	l, errL := a.checkTree(s.left, lo, s)
	r, errR := a.checkTree(s.right, s, hi)
	return l + r + 1, errors.Join(errL, errR)
}

// checkRuns verifies runs, the spans and lists that they are in, and all sums.
func (a *Arena) checkRuns() error {
	var used, held int64
	sums := map[uint32]class{}
	partial := 0
	for id, r := range a.runs.All() {
		gaps := 0
		for _, w := range r.free {
			gaps += bits.OnesCount64(w)
		}
		if gaps != int(r.n-r.live) || r.live == 0 || r.n > maxSlots {
			return fmt.Errorf("arena: run %d has %d slots, %d in use, %d free", id, r.n, r.live, gaps)
		}
		slots := r.n
		if r.block != 0 {
			slots = r.live
		} else if r.live < r.n {
			partial++
		}
		if err := a.checkPlace(id, r); err != nil {
			return err
		}
		c := sums[r.class]
		c.units, c.runs = r.units, c.runs+1
		c.slots, c.live = c.slots+int64(slots), c.live+int64(r.live)
		sums[r.class] = c
		used += int64(r.live) * int64(r.units)
	}
	for id, c := range a.classes.All() {
		want := sums[id]
		want.chain, want.partial = c.chain, c.partial
		if *c != want || a.findClass(c.units) != id {
			return fmt.Errorf("arena: class %d is %+v, its runs sum up to %+v", id, *c, want)
		}
		for prev, r := uint32(0), c.partial; r != 0; prev, r = r, a.runs.At(r).next {
			if t := a.runs.At(r); t.class != id || t.prev != prev || t.block != 0 || t.live == t.n {
				return fmt.Errorf("arena: run %d is listed with free slots: %+v", r, *t)
			}
			partial--
		}
		held += c.slots * int64(c.units)
	}
	return errors.Join(expect("classes", a.classes.Len(), len(sums)),
		expect("runs with free slots that are not listed", partial, 0), expect("units in use", a.used, used), expect("units in runs", a.held, held))
}

// checkPlace verifies that a run is where its spans say.
func (a *Arena) checkPlace(id uint32, r *run) error {
	if r.block == 0 {
		if s := a.spans.At(r.span); s.run != id || s.off != r.off || s.len != r.units*uint32(r.n) {
			return fmt.Errorf("arena: run %d is %+v in span %+v", id, *r, *s)
		}
		return nil
	}
	for i := range uint32(r.n) {
		if r.isFree(i) {
			continue
		}
		if s := a.spans.At(*a.piece(r, i)); s.run != id || s.off != r.off+i*r.units || s.len != r.units {
			return fmt.Errorf("arena: slot %d of broken run %d (%+v) is in span %+v", i, id, *r, *s)
		}
	}
	return nil
}

func expect[T comparable](what string, got, want T) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("arena: %s: got %v, want %v", what, got, want)
}
