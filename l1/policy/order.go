package policy

import (
	"iter"
	"time"

	"github.com/lmcache-go/lmcache/l1/internal/slab"
)

// order is the entries by recency: in one queue, or in several of which each has
// the entries of one kind: a tenant's, or those of one frequency. The numbers are
// drawn from one sequence, so that the oldest of all is the oldest of the queues',
// each with the bonus of its queue. The package comment has the mechanism.
type order struct {
	nodes  slab.Table[node]
	queues []queue  // 0 is that of all entries without a queue of their own
	bounds winners  // by queue: nothing in it that is not blocked is older; never: there is nothing
	home   []uint16 // by kind: its queue; missing: 0
	rank   []uint64 // by queue: bonus in units of 1/one of weight; nil: none has one
	weight uint64   // what a bonus of one is worth, in numbers
	passed list     // yielded in the running iteration, the latest at the head
	seq    uint64   // last number drawn
	round  uint64   // iterations begun
	warm   uint32   // keeps the reads of Visit

	lo, hi  int          // queues of the next iteration
	victims iter.Seq[ID] // the method value, made once
}

// queue is the entries of one order that are not pinned.
type queue struct {
	list   list // newest at the head; may hold blocked entries that have not come up
	ready  heap // entries that lost their place in the list
	parked heap // blocked entries that came up
}

// node is the record of one entry: 32 bytes, no pointers. An entry in a heap has
// 16 more there.
type node struct {
	seq   uint64
	round uint64 // iteration that yielded it
	prev  uint32 // in a list: the newer neighbour; in a heap: the index
	next  uint32 // in a list: the older neighbour
	kind  uint32 // which queue it belongs to: its tenant, or its frequency
	queue uint16 // that it stands in
	place place
	flags uint8
}

// place says which structure an entry is in.
type place uint8

const (
	untracked place = iota
	inNone          // pinned
	inList
	inReady
	inParked
	inPassed
)

const (
	flagPinned  = 1 << iota // has a reader
	flagBlocked             // should stay
)

func (p *order) init() {
	p.addQueue()
	p.victims = p.iterate
}

// find is the record of a tracked entry, or nil.
func (p *order) find(id ID) *node {
	n := p.nodes.Get(id)
	if n == nil || n.place == untracked {
		return nil
	}
	return n
}

// Visit reads the records of entries.
func (p *order) Visit(ids []ID) {
	sum := uint32(0)
	for _, id := range ids {
		if n := p.nodes.Get(id); n != nil {
			sum += n.prev
		}
	}
	p.warm = sum
}

// Insert tracks an entry as the newest.
func (p *order) Insert(id ID, _ int64, salt uint32, _ time.Time) {
	n := p.nodes.Grow(id)
	if n.place != untracked {
		p.unlink(n)
	}
	*n = node{kind: salt}
	p.newest(id, n)
}

// Touch makes an entry the newest. A pinned one gets the number and takes its
// place when it is released.
func (p *order) Touch(id ID, _ time.Time) {
	n := p.find(id)
	if n == nil {
		return
	}
	if n.flags&flagPinned != 0 {
		p.seq++
		n.seq = p.seq
		return
	}
	p.unlink(n)
	p.newest(id, n)
}

// Remove forgets an entry.
func (p *order) Remove(id ID) {
	if n := p.find(id); n != nil {
		p.unlink(n)
		*n = node{}
	}
}

// Pin takes an entry out of the order.
func (p *order) Pin(id ID) {
	if n := p.find(id); n != nil && n.flags&flagPinned == 0 {
		p.unlink(n)
		n.flags |= flagPinned
	}
}

// Unpin puts an entry back: to the newest if it was read, else under the number
// it has.
func (p *order) Unpin(id ID, read bool, _ time.Time) {
	n := p.find(id)
	if n == nil || n.flags&flagPinned == 0 {
		return
	}
	n.flags &^= flagPinned
	if read {
		p.newest(id, n)
		return
	}
	p.settle(id, n)
}

// Block keeps an entry from being a victim while others can be one. It keeps its
// place until it comes up there.
func (p *order) Block(id ID) {
	if n := p.find(id); n != nil {
		n.flags |= flagBlocked
	}
}

// Unblock ends Block.
func (p *order) Unblock(id ID) {
	n := p.find(id)
	if n == nil || n.flags&flagBlocked == 0 {
		return
	}
	n.flags &^= flagBlocked
	if n.place == inParked {
		p.unlink(n)
		p.settle(id, n)
	}
}

// never is the bound of an empty queue.
const never = ^uint64(0)

func (p *order) addQueue() {
	p.queues = append(p.queues, queue{})
	p.bounds.add(never)
}

// search is the iteration over the queues [lo, hi).
func (p *order) search(lo, hi int) iter.Seq[ID] {
	p.lo, p.hi = lo, hi
	return p.victims
}

func (p *order) iterate(yield func(ID) bool) {
	p.restore() // of an iteration whose loop body panicked
	p.round++
	for id := p.take(); id != 0; id = p.take() {
		if !yield(id) {
			break
		}
	}
	p.restore()
}

// take moves the next victim to the passed entries and returns it, or 0.
func (p *order) take() ID {
	id := p.best()
	if id == 0 {
		id = p.spare()
	}
	if id != 0 {
		p.pass(id)
	}
	return id
}

// best is the entry with the least score of all queues that is not blocked, or 0. It
// looks into the queue with the least bound, and into another one only if that bound
// was too low. Of equals the one in the first queue is taken.
func (p *order) best() ID {
	if p.bounds.wide > 0 && p.rank == nil && p.lo == 0 && p.hi == len(p.queues) {
		return p.bestOfMany()
	}
	for {
		least, next, first, second := 0, 0, never, never
		for i := p.lo; i < p.hi; i++ {
			bound := p.bounds.of[i]
			if bound != never {
				bound += p.bonus(i)
			}
			switch {
			case bound < first:
				least, next, first, second = i, least, bound, first
			case bound < second:
				next, second = i, bound
			}
		}
		if first == never {
			return 0
		}
		id := p.oldest(&p.queues[least])
		if id == 0 {
			p.bounds.set(least, never)
			continue
		}
		p.bounds.set(least, p.at(id).seq)
		if score := p.bounds.of[least] + p.bonus(least); score < second || score == second && least < next {
			return id
		}
	}
}

// bestOfMany is best where a tree knows the least bound and no queue has a bonus.
func (p *order) bestOfMany() ID {
	for {
		least := p.bounds.first()
		if p.bounds.of[least] == never {
			return 0
		}
		id := p.oldest(&p.queues[least])
		if id == 0 {
			p.bounds.set(least, never)
			continue
		}
		if p.bounds.set(least, p.at(id).seq); p.bounds.first() == least {
			return id
		}
	}
}

// one is a bonus of 1 in order.rank.
const one = 1 << 16

// bonus is by how much the entries of a queue count as newer than they are.
func (p *order) bonus(queue int) uint64 {
	if p.rank == nil {
		return 0
	}
	return p.weight * p.rank[queue] / one
}

// oldest is the next entry of a queue that is not blocked, or 0.
func (p *order) oldest(q *queue) ID {
	for {
		old, top := q.list.tail, q.ready.top()
		switch {
		case old != 0 && p.dismiss(old) || top != 0 && p.dismiss(top):
		case old != 0 && (top == 0 || p.at(old).seq < p.at(top).seq):
			return old
		default:
			return top
		}
	}
}

// spare is the oldest blocked entry, or 0. It is asked for when all others are
// pinned or passed over.
func (p *order) spare() ID {
	var best ID
	var least uint64
	for i := p.lo; i < p.hi; i++ {
		id := p.queues[i].parked.top()
		for id != 0 && p.at(id).round == p.round {
			p.pass(id)
			id = p.queues[i].parked.top()
		}
		if id == 0 {
			continue
		}
		if score := p.at(id).seq + p.bonus(i); best == 0 || score < least {
			best, least = id, score
		}
	}
	return best
}

// dismiss gets an entry out of the way that came up but cannot be the victim. It
// reports whether id is one.
func (p *order) dismiss(id ID) bool {
	n := p.at(id)
	switch {
	case n.round == p.round:
		p.pass(id)
	case n.flags&flagBlocked != 0:
		p.unlink(n)
		p.settle(id, n)
	default:
		return false
	}
	return true
}

// pass moves an entry to the passed ones.
func (p *order) pass(id ID) {
	n := p.at(id)
	p.unlink(n)
	n.round, n.place = p.round, inPassed
	p.pushFront(&p.passed, id, n)
}

// restore puts the passed entries back, the youngest first, so that those from
// the tail of the list become its tail again.
func (p *order) restore() {
	for id := p.passed.head; id != 0; id = p.passed.head {
		n := p.at(id)
		p.unlink(n)
		p.settle(id, n)
	}
}

// newest draws a number for an entry that is in no structure and puts it at the
// head of the list.
func (p *order) newest(id ID, n *node) {
	p.seq++
	n.seq, n.place = p.seq, inList
	p.pushFront(&p.enter(n).list, id, n)
}

// enter names the queue that an entry is about to join under its number.
func (p *order) enter(n *node) *queue {
	n.queue = 0
	if int(n.kind) < len(p.home) {
		n.queue = p.home[n.kind]
	}
	if n.seq < p.bounds.of[n.queue] {
		p.bounds.set(int(n.queue), n.seq)
	}
	return &p.queues[n.queue]
}

// settle puts an entry that is in no structure under the number it has. The ends
// of the list are places that can be known; most entries belong there.
func (p *order) settle(id ID, n *node) {
	q := p.enter(n)
	switch l := &q.list; {
	case n.flags&flagBlocked != 0:
		n.place = inParked
		p.heapPush(&q.parked, id, n)
	case l.head == 0 || n.seq > p.at(l.head).seq:
		n.place = inList
		p.pushFront(l, id, n)
	case n.seq < p.at(l.tail).seq:
		n.place = inList
		p.pushBack(l, id, n)
	default:
		n.place = inReady
		p.heapPush(&q.ready, id, n)
	}
}

// unlink takes an entry out of the structure it is in.
func (p *order) unlink(n *node) {
	q := &p.queues[n.queue]
	switch n.place {
	case inList:
		p.cut(&q.list, n)
	case inPassed:
		p.cut(&p.passed, n)
	case inReady:
		p.heapRemove(&q.ready, n)
	case inParked:
		p.heapRemove(&q.parked, n)
	}
	n.place = inNone
}

func (p *order) at(id ID) *node { return p.nodes.At(id) }
