package arena

import (
	"testing"
)

// demand takes a piece, advancing in steps when there is no room, as the owner of
// memory that grows does.
func demand(a *Arena, size, step int64) (Buf, bool) {
	for a.Available(size, 1) == 0 && a.Ready() < a.Size() {
		a.Advance(a.Ready() + step)
	}
	return a.Alloc(size)
}

// Memory that becomes ready in steps, on demand or by itself, holds exactly as many
// objects of one size as if all had been there.
func TestGrowthLosesNothing(t *testing.T) {
	const step = 64 << 10
	for _, size := range []int64{64, 4096, 36 << 10, 48<<10 + 64, 200 << 10} {
		for _, n := range []int{1, 7, 65, 300} {
			a := newArena(t, Options{Bytes: size * int64(n), Align: 64, HoldBack: true})
			r := newRand(size, int64(n))
			var live []Buf
			if a.Ready() != 0 || a.LargestFree() != a.Size() || a.Capacity() != a.Size() {
				t.Fatalf("%d bytes are ready, the largest range is %d of %d", a.Ready(), a.LargestFree(), a.Capacity())
			}
			if _, ok := a.Alloc(size); ok {
				t.Fatal("got memory that is not ready")
			}
			for len(live) < n {
				if r.IntN(8) == 0 {
					a.Advance(a.Ready() + step*r.Int64N(3))
				}
				if r.IntN(4) == 0 && len(live) > 0 {
					k := r.IntN(len(live))
					a.Free(live[k])
					live[k] = live[len(live)-1]
					live = live[:len(live)-1]
				}
				b, ok := demand(a, size, step)
				if !ok {
					t.Fatalf("%d bytes: %d of %d objects, %d bytes are ready", size, len(live), n, a.Ready())
				}
				if end := a.Offset(b) + size; end > a.Ready() {
					t.Fatalf("an object ends at %d, %d bytes are ready", end, a.Ready())
				}
				live = append(live, b)
				check(t, a)
			}
			if _, ok := demand(a, size, step); ok || a.Used() != a.Capacity() {
				t.Errorf("%d of %d bytes are used", a.Used(), a.Capacity())
			}
			for _, b := range live {
				a.Free(b)
			}
			a.Advance(a.Size())
			wantEmpty(t, a)
		}
	}
}

// What can never be had is not counted on.
func TestCut(t *testing.T) {
	a := newArena(t, Options{Bytes: 100 * 4096, HoldBack: true})
	a.Advance(30 * 4096)
	a.Advance(20 * 4096) // goes back: nothing
	b := mustAlloc(t, a, 4096)
	a.Cut()
	if a.Capacity() != 30*4096 || a.Size() != 100*4096 || a.Ready() != 30*4096 || a.LargestFree() > 29*4096 {
		t.Errorf("capacity %d, size %d, ready %d, largest %d", a.Capacity(), a.Size(), a.Ready(), a.LargestFree())
	}
	a.Advance(a.Size())
	if a.Ready() != 30*4096 {
		t.Errorf("%d bytes are ready after the cut", a.Ready())
	}
	for range 29 {
		mustAlloc(t, a, 4096)
	}
	if _, ok := a.Alloc(4096); ok || a.Used() != a.Capacity() {
		t.Errorf("used %d of %d", a.Used(), a.Capacity())
	}
	a.Free(b)
	check(t, a)
	whole := newArena(t, Options{Bytes: 4096})
	whole.Cut()
	if whole.Capacity() != 4096 {
		t.Error("a cut took what is ready")
	}
}

// REQ-S34: what is to be used last is used when nothing else is left, whenever it
// was named, and again after it was free as a whole.
func TestREQ_S34_PostponedIsUsedLast(t *testing.T) {
	const part = 64 << 10
	inside := func(off int64, ranges ...int64) bool {
		for _, r := range ranges {
			if off >= r*part && off < (r+1)*part {
				return true
			}
		}
		return false
	}
	for _, c := range []struct {
		name    string
		advance int64 // before the ranges are named
		used    int   // objects taken before
	}{{"before it is ready", 0, 0}, {"when it is ready", 8, 0}, {"when it is in use", 8, 16 * 8}} {
		t.Run(c.name, func(t *testing.T) {
			a := newArena(t, Options{Bytes: 8 * part, HoldBack: true})
			a.Advance(c.advance * part)
			var live []Buf
			for range c.used {
				live = append(live, mustAlloc(t, a, 4096))
			}
			for _, r := range []int64{5, 2, 2} {
				a.Postpone(r*part, (r+1)*part)
			}
			for _, b := range live {
				a.Free(b)
			}
			check(t, a)
			a.Advance(8 * part)
			check(t, a)
			for round := range 2 {
				live = live[:0]
				for n := range 16 * 8 {
					b := mustAlloc(t, a, 4096)
					if last := inside(a.Offset(b), 2, 5); last != (n >= 16*6) {
						t.Fatalf("round %d: object %d lies at %d", round, n, a.Offset(b))
					}
					live = append(live, b)
				}
				if _, ok := a.Alloc(4096); ok || a.Used() != a.Capacity() {
					t.Fatal("one more fits")
				}
				check(t, a)
				for _, b := range live {
					a.Free(b)
				}
				check(t, a)
				if a.LargestFree() != a.Size() {
					t.Errorf("the largest free range is %d of %d", a.LargestFree(), a.Size())
				}
			}
			// One object may need several of them, and what lies between.
			b := mustAlloc(t, a, 8*part)
			a.Free(b)
			for _, r := range []int64{2, 5, 5} {
				a.Prefer(r * part)
			}
			wantEmpty(t, a)
		})
	}
}

// Random calls with memory that grows, is postponed and preferred again: pieces
// never overlap nor lie in what is not ready, and all sums hold.
func TestRandomGrowth(t *testing.T) {
	const part = 1 << 16
	for seed := range int64(12) {
		r := newRand(seed, 7)
		m := &model{tb: t, a: newArena(t, Options{Bytes: 40*part + 4096, HoldBack: true})}
		cut := false
		for step := range 4000 {
			switch x := r.IntN(100); {
			case x < 50:
				m.alloc(1 + r.Int64N(1<<(10+r.IntN(8))))
			case x < 85 && len(m.live) > 0:
				m.free(r.IntN(len(m.live)))
			case x < 90:
				m.a.Advance(m.a.Ready() + r.Int64N(2)*part)
			case x < 94:
				lo := r.Int64N(41) * part
				m.a.Postpone(lo, min(lo+part, m.a.Size()))
			case x < 97:
				m.a.Prefer(r.Int64N(41) * part)
			case x < 98:
				m.a.Reclaim()
			case step > 3500 && !cut && seed%2 == 0:
				cut = true
				m.a.Cut()
			}
			if step%7 == 0 {
				check(t, m.a)
			}
			if m.a.Used() > m.a.Capacity() || m.a.Used() > m.a.Ready() {
				t.Fatalf("seed %d: used %d of %d, %d are ready", seed, m.a.Used(), m.a.Capacity(), m.a.Ready())
			}
			if n := len(m.live); n > 0 && m.live[n-1].off+m.live[n-1].size > m.a.Ready() {
				t.Fatalf("seed %d: a piece at %d, %d bytes are ready", seed, m.live[n-1].off, m.a.Ready())
			}
		}
		for len(m.live) > 0 {
			m.free(r.IntN(len(m.live)))
		}
		for lo := range int64(41) {
			m.a.Prefer(lo * part)
		}
		check(t, m.a)
		if got, want := m.a.LargestFree(), m.a.Capacity(); got != want {
			t.Errorf("seed %d: the largest free range of an empty arena is %d of %d", seed, got, want)
		}
	}
}
