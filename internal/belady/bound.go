package belady

import (
	"container/heap"
	"slices"
)

// Bound is the most that a cache for capacity chunks could have served. It takes
// time in proportion to n log n for n requested chunks. With chunks of unequal sizes,
// where the capacity is in the unit of SetSize, it is the outcome of the same rule,
// which need not be the best then.
func (t *Trace) Bound(capacity int64) Count {
	var c Count
	next := t.nextRequests()
	b := bound{
		t: t, capacity: max(capacity, 0), next: make([]int32, len(t.depth)), resident: make([]bool, len(t.depth)),
		far: make(farthest, 0, len(t.depth)),
	}
	at := 0
	for i := range t.ends {
		t.count(&c, i, func(n int32) bool { return b.resident[n] })
		for depth, n := range t.request(i) {
			b.request(n, int32(depth), next[at])
			at++
		}
	}
	return c
}

// nextRequests has, for each place in the path, which request reads the same chunk
// next.
func (t *Trace) nextRequests() []int32 {
	next := make([]int32, len(t.path))
	soonest := make([]int32, len(t.depth))
	for n := range soonest {
		soonest[n] = never
	}
	at := len(t.path)
	for i := range slices.Backward(t.ends) {
		nodes := t.request(i)
		for _, n := range slices.Backward(nodes) {
			at--
			next[at] = soonest[n]
			if t.kind(i) != Insert {
				soonest[n] = int32(i)
			}
		}
	}
	return next
}

// bound is the cache of Bound.
type bound struct {
	t        *Trace
	capacity int64
	used     int64
	resident []bool
	next     []int32 // by node, of residents
	far      farthest
}

// request is told that node n is requested now and when it will be again.
func (b *bound) request(n, depth, next int32) {
	if next == never {
		if b.resident[n] {
			b.evict(n)
		}
		return
	}
	if !b.resident[n] {
		b.resident[n] = true
		b.used += b.t.sizeOf(n)
	}
	b.next[n] = next
	heap.Push(&b.far, planned{next, depth, n})
	for b.used > b.capacity {
		if p := heap.Pop(&b.far).(planned); b.resident[p.node] && b.next[p.node] == p.next {
			b.evict(p.node)
		}
	}
}

func (b *bound) evict(n int32) {
	b.resident[n] = false
	b.used -= b.t.sizeOf(n)
}

// planned is a next request for a node.
type planned struct{ next, depth, node int32 }

// farthest is a heap with the next victim on top. An entry is void if its node has
// another next request by now, or is not resident. Of one request's entries no two
// have the same depth.
type farthest []planned

func (h farthest) Len() int { return len(h) }

func (h farthest) Less(i, j int) bool {
	if h[i].next != h[j].next {
		return h[i].next > h[j].next
	}
	return h[i].depth > h[j].depth
}

func (h farthest) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *farthest) Push(p any) { *h = append(*h, p.(planned)) }

func (h *farthest) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	*h = (*h)[:last]
	return p
}
