package policy

import "github.com/lmcache-go/lmcache/l1/internal/slab"

// heap orders entries by ascending number: an implicit heap of arity four whose
// items carry the number, and of which each node knows the index of its item. The
// four children of an item are one cache line. An item that is newer than all
// others is added in constant time, and one in a random place is removed in
// constant time on average.
type heap struct {
	items slab.Table[heapItem] // from heapRoot on
	n     uint32
}

type heapItem struct {
	seq uint64
	id  uint32
}

const (
	heapArity = 4
	heapRoot  = heapArity - 1 // so that siblings begin at multiples of the arity
)

func heapParent(i uint32) uint32 { return i/heapArity + heapArity - 2 }

func heapChild(i uint32) uint32 { return (i - heapArity + 2) * heapArity }

// top is the entry with the least number, or 0.
func (h *heap) top() ID {
	if h.n == 0 {
		return 0
	}
	return h.items.At(heapRoot).id
}

func (p *order) heapPush(h *heap, id ID, n *node) {
	i := heapRoot + h.n
	h.n++
	h.items.Grow(i)
	p.heapUp(h, i, heapItem{n.seq, id})
}

func (p *order) heapRemove(h *heap, n *node) {
	i := n.prev
	h.n--
	last := heapRoot + h.n
	n.prev = 0
	if i == last {
		return
	}
	if it := *h.items.At(last); i > heapRoot && it.seq < h.items.At(heapParent(i)).seq {
		p.heapUp(h, i, it)
	} else {
		p.heapDown(h, i, it)
	}
}

// heapUp puts an item where index i is free, or above.
func (p *order) heapUp(h *heap, i uint32, it heapItem) {
	for i > heapRoot {
		up := heapParent(i)
		above := *h.items.At(up)
		if above.seq < it.seq {
			break
		}
		p.heapSet(h, i, above)
		i = up
	}
	p.heapSet(h, i, it)
}

// heapDown puts an item where index i is free, or below.
func (p *order) heapDown(h *heap, i uint32, it heapItem) {
	end := heapRoot + h.n
	for {
		first := heapChild(i)
		if first >= end {
			break
		}
		least, below := first, *h.items.At(first)
		for c := first + 1; c < min(first+heapArity, end); c++ {
			if child := h.items.At(c); child.seq < below.seq {
				least, below = c, *child
			}
		}
		if it.seq < below.seq {
			break
		}
		p.heapSet(h, i, below)
		i = least
	}
	p.heapSet(h, i, it)
}

func (p *order) heapSet(h *heap, i uint32, it heapItem) {
	*h.items.At(i) = it
	p.at(it.id).prev = i
}
