package arena

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

func newRand(a, b int64) *rand.Rand { return rand.New(rand.NewPCG(uint64(a), uint64(b))) }

// piece of the model: what is handed out, by offset.
type modelPiece struct {
	b         Buf
	off, size int64 // physical
}

// model is a plain list of the pieces handed out.
type model struct {
	tb   testing.TB
	a    *Arena
	live []modelPiece
	used int64
}

// alloc takes a piece and verifies what comes back, or that failing was right.
func (m *model) alloc(size int64) bool {
	m.tb.Helper()
	avail, free := m.a.Available(size, 1), m.a.LargestFree()
	b, ok := m.a.Alloc(size)
	if !ok {
		if avail != 0 || free >= m.a.Physical(size) && m.a.Ready() >= m.a.Capacity() {
			m.tb.Fatalf("no room for %d bytes, but %d pieces are available and the largest free range is %d", size, avail, free)
		}
		return false
	}
	p := modelPiece{b, m.a.Offset(b), m.a.Physical(size)}
	if p.off%m.a.Align() != 0 || p.off < 0 || p.off+p.size > m.a.Capacity() {
		m.tb.Fatalf("piece of %d bytes at %d", p.size, p.off)
	}
	m.live = append(m.live, p)
	m.used += p.size
	return true
}

func (m *model) free(i int) {
	m.a.Free(m.live[i].b)
	m.used -= m.live[i].size
	m.live[i] = m.live[len(m.live)-1]
	m.live = m.live[:len(m.live)-1]
}

// verify compares sums, that no two pieces overlap and that no piece has moved,
// and returns the longest range between pieces.
func (m *model) verify() (gap int64) {
	m.tb.Helper()
	check(m.tb, m.a)
	if m.a.Used() != m.used {
		m.tb.Fatalf("used is %d, the pieces sum up to %d", m.a.Used(), m.used)
	}
	sorted := slices.SortedFunc(slices.Values(m.live), func(x, y modelPiece) int { return cmp.Compare(x.off, y.off) })
	end := int64(0)
	for _, p := range sorted {
		if p.off < end {
			m.tb.Fatalf("pieces overlap at %d", p.off)
		}
		if m.a.Offset(p.b) != p.off {
			m.tb.Fatalf("a piece moved from %d to %d", p.off, m.a.Offset(p.b))
		}
		gap = max(gap, p.off-end)
		end = p.off + p.size
	}
	return max(gap, m.a.Capacity()-end)
}

func TestRandomOperations(t *testing.T) {
	for seed := range int64(12) {
		r := newRand(seed, 1)
		var sizes []int64
		for range 1 + r.IntN(12) {
			sizes = append(sizes, 1+r.Int64N(1<<(8+r.IntN(14))))
		}
		m := &model{tb: t, a: newArena(t, Options{Bytes: 1 + r.Int64N(16<<20), Align: 1 << (6 + r.IntN(7))})}
		bias := 0
		for step := range 6000 {
			if step%500 == 0 {
				bias = r.IntN(100)
			}
			switch x := r.IntN(100); {
			case x < bias:
				m.alloc(sizes[r.IntN(len(sizes))])
			case len(m.live) > 0:
				m.free(r.IntN(len(m.live)))
			}
			if step%97 == 0 {
				m.verify()
			}
			if step%601 == 600 {
				m.a.Reclaim()
				gap := m.verify()
				if got := m.a.LargestFree(); got != gap {
					t.Fatalf("seed %d: largest free range after reclaiming is %d, pieces leave %d", seed, got, gap)
				}
				size := max(1, r.Int64N(gap+2))
				if ok := m.alloc(size); ok != (m.a.Physical(size) <= gap) {
					t.Fatalf("seed %d: alloc of %d is %v with a gap of %d", seed, size, ok, gap)
				}
			}
		}
		for len(m.live) > 0 {
			m.free(r.IntN(len(m.live)))
		}
		wantEmpty(t, m.a)
	}
}

// Available says exactly how many pieces of a size can be had in a row, unless
// failing makes other sizes give way.
func TestAvailableIsExact(t *testing.T) {
	for seed := range int64(40) {
		r := newRand(seed, 2)
		m := &model{tb: t, a: newArena(t, Options{Bytes: 4 << 20, Align: 512})}
		for m.alloc(512 * (1 + r.Int64N(40))) {
		}
		for range r.IntN(len(m.live)) {
			m.free(r.IntN(len(m.live)))
		}
		size := 512 * (1 + r.Int64N(60))
		want := m.a.Available(size, 1<<30)
		if lim := m.a.Available(size, want/2); lim != want/2 {
			t.Fatalf("seed %d: %d available at most %d", seed, lim, want/2)
		}
		for range want {
			if !m.alloc(size) {
				t.Fatalf("seed %d: %d pieces of %d were available", seed, want, size)
			}
		}
		if m.a.LargestFree() >= m.a.Physical(size) {
			t.Fatalf("seed %d: a range of %d bytes is left after all %d pieces of %d", seed, m.a.LargestFree(), want, size)
		}
	}
}

// Two arenas given the same calls hand out the same offsets.
func TestDeterministic(t *testing.T) {
	trace := func() (out []int64) {
		r := newRand(3, 3)
		m := &model{tb: t, a: newArena(t, Options{Bytes: 8 << 20})}
		for range 5000 {
			if r.IntN(5) > 1 || len(m.live) == 0 {
				if m.alloc(4096 * (1 + r.Int64N(30))) {
					out = append(out, m.live[len(m.live)-1].off)
				}
			} else {
				m.free(r.IntN(len(m.live)))
			}
		}
		return out
	}
	if a, b := trace(), trace(); !slices.Equal(a, b) {
		t.Error("offsets differ between two runs")
	}
}

// REQ-S33: the pieces of a batch that is too large cost one call each and one that
// fails, and none of them looks at more than a logarithmic number of spans.
func TestREQ_S33_BatchTakesThePrefixThatFits(t *testing.T) {
	const n = 4096
	a := newArena(t, Options{Bytes: n * 4096})
	if got := a.Available(4096, 2*n); got != n {
		t.Fatalf("%d of %d pieces available, want %d", got, 2*n, n)
	}
	calls := 0
	for range 2 * n {
		calls++
		if _, ok := a.Alloc(4096); !ok {
			break
		}
	}
	if calls != n+1 {
		t.Errorf("%d calls for a batch of twice the capacity of %d objects, want %d", calls, n, n+1)
	}
}

// The tree of free spans stays shallow, also with offsets in a regular pattern.
func TestTreeIsShallow(t *testing.T) {
	const n = 1 << 14
	a := newArena(t, Options{Bytes: n * 8192, Align: 4096})
	a.chunk = 1 // a span for every object
	var live []Buf
	for range 2 * n {
		live = append(live, mustAlloc(t, a, 4096))
	}
	for i := 0; i < len(live); i += 2 {
		a.Free(live[i])
	}
	var depth func(id uint32) int
	depth = func(id uint32) int {
		if id == 0 {
			return 0
		}
		s := a.spans.At(id)
		return 1 + max(depth(s.left), depth(s.right))
	}
	if got := depth(a.root); got > 3*14+8 {
		t.Errorf("%d free spans are a tree of depth %d", n, got)
	}
}
