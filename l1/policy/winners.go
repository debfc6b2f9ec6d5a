package policy

// winners is numbers of which, if there are many, the least is known: a tree of matches
// between neighbours, in which a number that changes plays those on its way up again.
type winners struct {
	of   []uint64
	tree []uint32 // from 1 on; the children of i are 2i and 2i+1; the leaves are left out
	wide int      // leaves, a power of two; 0: there are few, and no tree
}

// few is how many numbers are looked at one by one in less time.
const few = 32

// add appends a number.
func (w *winners) add(v uint64) {
	w.of = append(w.of, v)
	switch {
	case len(w.of) <= few:
	case len(w.of) <= w.wide:
		w.set(len(w.of)-1, v)
	default:
		w.wide = 2 * max(few, w.wide)
		w.tree = make([]uint32, w.wide)
		for i := w.wide - 1; i > 0; i-- {
			w.play(i)
		}
	}
}

// set changes a number.
func (w *winners) set(i int, v uint64) {
	w.of[i] = v
	if w.wide == 0 {
		return
	}
	for n := (w.wide + i) / 2; n > 0; n /= 2 {
		w.play(n)
	}
}

// first is the first of the least numbers, of many.
func (w *winners) first() int { return int(w.winner(1)) }

// play finds the winner at a node. Of equals it is the one on the left, the first.
func (w *winners) play(n int) {
	l, r := w.winner(2*n), w.winner(2*n+1)
	if int(r) < len(w.of) && w.of[r] < w.of[l] {
		l = r
	}
	w.tree[n] = l
}

func (w *winners) winner(n int) uint32 {
	if n >= w.wide {
		return uint32(n - w.wide)
	}
	return w.tree[n]
}
