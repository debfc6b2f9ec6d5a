package belady

import "slices"

// LRU is what a cache for capacity chunks serves that evicts what was least
// recently requested. The chunks of a request are refreshed from the last to the
// first, so that a chunk is always younger than those below it.
func (t *Trace) LRU(capacity int64) Count {
	var c Count
	l := newLRU(t)
	for i := range t.ends {
		t.count(&c, i, l.has)
		for _, n := range slices.Backward(t.request(i)) {
			l.use(n)
			for l.used > max(capacity, 0) {
				l.drop(l.younger[l.end()])
			}
		}
	}
	return c
}

// lru is a ring of nodes, from its end by younger from the oldest to the
// youngest. The ring's end is one more node.
type lru struct {
	younger, older []int32 // by node; younger is absent for one that is not in the ring
	t              *Trace
	used           int64
}

const absent = int32(-1)

func newLRU(t *Trace) *lru {
	nodes := len(t.depth)
	l := &lru{t: t, younger: make([]int32, nodes+1), older: make([]int32, nodes+1)}
	for n := range l.younger {
		l.younger[n] = absent
	}
	end := l.end()
	l.younger[end], l.older[end] = end, end
	return l
}

func (l *lru) end() int32 { return int32(len(l.younger) - 1) }

func (l *lru) has(n int32) bool { return l.younger[n] != absent }

// use makes n the youngest.
func (l *lru) use(n int32) {
	if l.has(n) {
		l.drop(n)
	}
	end := l.end()
	youngest := l.older[end]
	l.younger[youngest], l.older[n] = n, youngest
	l.younger[n], l.older[end] = end, n
	l.used += l.t.sizeOf(n)
}

func (l *lru) drop(n int32) {
	y, o := l.younger[n], l.older[n]
	l.younger[o], l.older[y] = y, o
	l.younger[n] = absent
	l.used -= l.t.sizeOf(n)
}
