package policy

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// linked counts the entries in the structures that a search may look at, and
// verifies them.
func (p *order) linked(t *testing.T) (entries, ready, parked int) {
	t.Helper()
	for i := range p.queues {
		q := &p.queues[i]
		var newer uint32
		for id := q.list.head; id != 0; newer, id = id, p.at(id).next {
			n := p.at(id)
			if n.place != inList || int(n.queue) != i || n.prev != newer || newer != 0 && p.at(newer).seq <= n.seq {
				t.Fatalf("entry %d is out of order in list %d: %+v", id, i, *n)
			}
			entries++
		}
		if old := p.oldestFree(q); old < p.bounds.of[i] {
			t.Fatalf("queue %d has an entry of number %d, its bound is %d", i, old, p.bounds.of[i])
		}
		if q.list.tail != newer {
			t.Fatalf("the tail is %d, the last entry %d", q.list.tail, newer)
		}
		for _, h := range []struct {
			heap  *heap
			place place
		}{{&q.ready, inReady}, {&q.parked, inParked}} {
			for j := uint32(heapRoot); j < heapRoot+h.heap.n; j++ {
				it := h.heap.items.At(j)
				if n := p.at(it.id); n.place != h.place || int(n.queue) != i || n.prev != j || n.seq != it.seq {
					t.Fatalf("entry %d at %d in a heap of %d: %+v", it.id, j, i, *n)
				}
				if j > heapRoot && h.heap.items.At(heapParent(j)).seq >= it.seq {
					t.Fatalf("entry %d is out of order in a heap", it.id)
				}
			}
		}
		ready += int(q.ready.n)
		parked += int(q.parked.n)
	}
	if i := p.bounds.first(); p.bounds.wide > 0 && i != slices.Index(p.bounds.of, slices.Min(p.bounds.of)) {
		t.Fatalf("queue %d is said to have the least bound of %v", i, p.bounds.of)
	}
	if p.passed != (list{}) {
		t.Fatalf("entries are still passed over: %+v", p.passed)
	}
	return entries, ready, parked
}

// oldestFree is the least number of a queue's entries that are not blocked.
func (p *order) oldestFree(q *queue) uint64 {
	least := never
	for id := q.list.head; id != 0; id = p.at(id).next {
		if n := p.at(id); n.flags&flagBlocked == 0 {
			least = min(least, n.seq)
		}
	}
	for i := uint32(heapRoot); i < heapRoot+q.ready.n; i++ {
		if n := p.at(q.ready.items.At(i).id); n.flags&flagBlocked == 0 {
			least = min(least, n.seq)
		}
	}
	return least
}

// After any calls the structures are sound and hold each entry once.
func TestStructures(t *testing.T) {
	at := time.Time{}
	for seed := range uint64(24) {
		r := rand.New(rand.NewPCG(seed, 9))
		p := NewIsolatedLRU() // of which LRU is the part without tenants
		const n = 100
		salts := uint32(5)
		if seed >= 20 {
			salts = 3 * few
		}
		for step := range 4000 {
			id := ID(1 + r.IntN(n))
			switch r.IntN(10) {
			case 0, 1:
				p.Insert(id, 1, r.Uint32N(salts), at)
			case 2:
				p.Touch(id, at)
			case 3:
				p.Remove(id)
			case 4:
				p.Pin(id)
			case 5:
				p.Unpin(id, r.IntN(2) == 0, at)
			case 6:
				p.Block(id)
			case 7:
				p.Unblock(id)
			case 8:
				switch salt := r.Uint32N(salts); r.IntN(3) {
				case 0:
					p.Isolate(salt)
				case 1:
					p.Share(salt)
				default:
					p.Assign(id)
				}
			case 9:
				left := r.IntN(30)
				for id := range p.Victims(Need{BySalt: r.IntN(2) == 0, Salt: r.Uint32N(salts)}) {
					if r.IntN(3) == 0 {
						p.Remove(id)
					}
					if left--; left < 0 {
						break
					}
				}
			}
			if step%50 != 0 {
				continue
			}
			want := 0
			for id := ID(1); id <= n; id++ {
				if e := p.find(id); e != nil && e.flags&flagPinned == 0 {
					want++
				}
			}
			if l, rd, pk := p.linked(t); l+rd+pk != want {
				t.Fatalf("seed %d: %d entries in the list, %d ready and %d parked, want %d in all", seed, l, rd, pk, want)
			}
		}
	}
}

// With very many tenants a tree names the order in which to look. It decides as looking
// at all of them does.
func TestManyTenantsDecideAlike(t *testing.T) {
	at := time.Time{}
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 10))
		tree, all := NewIsolatedLRU(), NewIsolatedLRU()
		all.rank = make([]uint64, 2*MaxIsolated) // bonuses of nothing
		const n, salts = 400, 5 * few
		yielded := 0
		for range 5000 {
			id, salt, op, read := ID(1+r.IntN(n)), r.Uint32N(salts), r.IntN(12), r.IntN(2) == 0
			left, gone := r.IntN(20), r.Uint64()
			var victims [2][]ID
			for i, p := range []*IsolatedLRU{tree, all} {
				switch op {
				case 0, 1:
					p.Insert(id, 1, salt, at)
				case 2, 3:
					p.Touch(id, at)
				case 4:
					p.Pin(id)
				case 5:
					p.Unpin(id, read, at)
				case 6:
					p.Block(id)
				case 7:
					p.Unblock(id)
				case 8, 9:
					p.Isolate(salt)
				case 10:
					if read {
						p.Share(salt)
					} else {
						p.Assign(id)
					}
				default:
					for v := range p.Victims(Need{Bytes: 1}) {
						victims[i] = append(victims[i], v)
						if len(victims[i]) > left {
							break
						}
						if gone>>len(victims[i])&1 == 0 {
							p.Remove(v)
						}
					}
				}
			}
			if !slices.Equal(victims[0], victims[1]) {
				t.Fatalf("seed %d: victims %v, want %v", seed, victims[0], victims[1])
			}
			yielded += len(victims[0])
		}
		if tree.bounds.wide == 0 || yielded < 1000 {
			t.Errorf("%d orders, %d victims: that proves nothing", len(tree.queues), yielded)
		}
	}
}

// REQ-S37: a search can only look at what is linked, and pinned entries are not;
// parked ones are in a heap of which only the root is looked at.
func TestREQ_S37_PinnedAndParkedAreNotSearched(t *testing.T) {
	const pinned, free, blocked = 1_000_000, 1000, 50_000
	p := NewLRU()
	at := time.Time{}
	for id := ID(1); id <= pinned+free+blocked; id++ {
		p.Insert(id, 1, 1, at)
	}
	for id := ID(1); id <= pinned; id++ {
		p.Pin(id)
	}
	for id := ID(pinned + 1); id <= pinned+blocked; id++ {
		p.Block(id)
	}
	for range p.Victims(Need{Bytes: 1}) { // parks what comes up
		break
	}
	if l, rd, pk := p.linked(t); l != free || rd != 0 || pk != blocked {
		t.Errorf("%d entries in the list, %d ready, %d parked, want %d, 0 and %d", l, rd, pk, free, blocked)
	}
	next := ID(pinned + blocked)
	for id := range p.Victims(Need{Bytes: free}) {
		if next++; next > pinned+blocked+free {
			break
		}
		if id != next {
			t.Fatalf("victim is %d, want %d", id, next)
		}
		p.Remove(id)
	}
	if l, rd, pk := p.linked(t); l != 0 || rd != 0 || pk != blocked {
		t.Errorf("in the end %d entries in the list, %d ready, %d parked", l, rd, pk)
	}
}

func TestNodeSize(t *testing.T) {
	if got := binary.Size(node{}) + binary.Size(heapItem{}); got > 48 {
		t.Errorf("an entry has %d bytes in its node and a heap, want at most 48", got)
	}
}

// Visit reads records of any id and changes nothing.
func TestVisit(t *testing.T) {
	p := NewLRU()
	for id := ID(1); id <= 3; id++ {
		p.Insert(id, 1, 1, time.Time{})
	}
	p.Pin(2)
	before := [3]node{*p.at(1), *p.at(2), *p.at(3)}
	p.Visit([]ID{0, 3, 2, 1, 4, 1 << 31})
	if after := [3]node{*p.at(1), *p.at(2), *p.at(3)}; after != before || p.nodes.Get(1<<31) != nil {
		t.Errorf("records were %+v and are %+v", before, after)
	}
}

// The tree names the first of the least numbers, however many there are.
func TestWinners(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var w winners
	for n := range 10 * few {
		w.add(rng.Uint64N(50))
		for range 20 {
			if got, want := w.first(), slices.Index(w.of, slices.Min(w.of)); w.wide > 0 && got != want {
				t.Fatalf("%d numbers: %d, want %d of %v", n+1, got, want, w.of)
			}
			w.set(rng.IntN(len(w.of)), rng.Uint64N(50))
		}
	}
}
