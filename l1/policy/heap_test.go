package policy

import (
	"math/rand/v2"
	"testing"
)

// A heap gives back what was put in, by number, also when entries leave it from
// anywhere in any order.
func TestHeap(t *testing.T) {
	const n = 3000
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 5))
		p := NewLRU()
		h := &p.queues[0].parked
		for i, seq := range r.Perm(n) {
			id := ID(i + 1)
			node := p.nodes.Grow(id)
			node.seq, node.place = uint64(seq+1), inParked
			p.heapPush(h, id, node)
		}
		for _, i := range r.Perm(n)[:n/2] {
			node := p.at(ID(i + 1))
			p.heapRemove(h, node)
			node.place = inNone
			if i%50 == 0 {
				p.linked(t)
			}
		}
		var last uint64
		left := 0
		for ; h.n > 0; left++ {
			node := p.at(h.top())
			if node.seq <= last {
				t.Fatalf("seed %d: number %d after %d", seed, node.seq, last)
			}
			last = node.seq
			p.heapRemove(h, node)
		}
		if left != n-n/2 || h.top() != 0 {
			t.Fatalf("seed %d: %d entries came out, want %d", seed, left, n-n/2)
		}
	}
}
