package policy

import (
	"iter"
	"time"

	"github.com/lmcache-go/lmcache/l1/internal/slab"
)

// LRU evicts the least recently used entry that is neither pinned nor blocked;
// with none left, the least recently used blocked one. The package comment has
// the mechanism. Make one with NewLRU.
type LRU struct {
	nodes  slab.Table[node]
	list   list   // newest at the head; may hold blocked entries that have not come up
	ready  heap   // entries that lost their place in the list
	parked heap   // blocked entries that came up
	passed list   // yielded in the running iteration, the latest at the head
	seq    uint64 // last number drawn
	round  uint64 // iterations begun
	warm   uint32 // keeps the reads of Visit

	victims iter.Seq[ID] // the method value, made once
}

// node is the record of one entry: 32 bytes, no pointers. An entry in a heap has
// 16 more there.
type node struct {
	seq   uint64
	round uint64 // iteration that yielded it
	prev  uint32 // in a list: the newer neighbour; in a heap: the index
	next  uint32 // in a list: the older neighbour
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

// NewLRU makes an empty LRU.
func NewLRU() *LRU {
	p := &LRU{}
	p.victims = p.iterate
	return p
}

// find is the record of a tracked entry, or nil.
func (p *LRU) find(id ID) *node {
	n := p.nodes.Get(id)
	if n == nil || n.place == untracked {
		return nil
	}
	return n
}

// Insert tracks an entry as the newest.
func (p *LRU) Insert(id ID, _ int64, _ uint32, _ time.Time) {
	n := p.nodes.Grow(id)
	if n.place != untracked {
		p.unlink(n)
	}
	*n = node{}
	p.newest(id, n)
}

// Touch makes an entry the newest. A pinned one gets the number and takes its
// place when it is released.
func (p *LRU) Touch(id ID, _ time.Time) {
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
func (p *LRU) Remove(id ID) {
	if n := p.find(id); n != nil {
		p.unlink(n)
		*n = node{}
	}
}

// Pin takes an entry out of the order.
func (p *LRU) Pin(id ID) {
	if n := p.find(id); n != nil && n.flags&flagPinned == 0 {
		p.unlink(n)
		n.flags |= flagPinned
	}
}

// Unpin puts an entry back: to the newest if it was read, else under the number
// it has.
func (p *LRU) Unpin(id ID, read bool, _ time.Time) {
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
func (p *LRU) Block(id ID) {
	if n := p.find(id); n != nil {
		n.flags |= flagBlocked
	}
}

// Unblock ends Block.
func (p *LRU) Unblock(id ID) {
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

// Victims yields entries by age, oldest first. Tenants are not told apart: with
// need.BySalt it yields nothing.
func (p *LRU) Victims(need Need) iter.Seq[ID] {
	if need.BySalt {
		return nobody
	}
	return p.victims
}

func (p *LRU) iterate(yield func(ID) bool) {
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
func (p *LRU) take() ID {
	for {
		old, top, spare := p.list.tail, p.ready.top(), p.parked.top()
		switch {
		case old != 0 && p.dismiss(old) || top != 0 && p.dismiss(top):
		case old != 0 && (top == 0 || p.at(old).seq < p.at(top).seq):
			return p.pass(old)
		case top != 0:
			return p.pass(top)
		case spare == 0:
			return 0
		case p.at(spare).round == p.round:
			p.pass(spare)
		default:
			return p.pass(spare)
		}
	}
}

// dismiss gets an entry out of the way that came up but cannot be the victim. It
// reports whether id is one.
func (p *LRU) dismiss(id ID) bool {
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
func (p *LRU) pass(id ID) ID {
	n := p.at(id)
	p.unlink(n)
	n.round, n.place = p.round, inPassed
	p.pushFront(&p.passed, id, n)
	return id
}

// restore puts the passed entries back, the youngest first, so that those from
// the tail of the list become its tail again.
func (p *LRU) restore() {
	for id := p.passed.head; id != 0; id = p.passed.head {
		n := p.at(id)
		p.unlink(n)
		p.settle(id, n)
	}
}

// Visit reads the records of entries.
func (p *LRU) Visit(ids []ID) {
	sum := uint32(0)
	for _, id := range ids {
		if n := p.nodes.Get(id); n != nil {
			sum += n.prev
		}
	}
	p.warm = sum
}

// newest draws a number for an entry that is in no structure and puts it at the
// head of the list.
func (p *LRU) newest(id ID, n *node) {
	p.seq++
	n.seq, n.place = p.seq, inList
	p.pushFront(&p.list, id, n)
}

// settle puts an entry that is in no structure under the number it has. The ends
// of the list are places that can be known; most entries belong there.
func (p *LRU) settle(id ID, n *node) {
	switch l := &p.list; {
	case n.flags&flagBlocked != 0:
		n.place = inParked
		p.heapPush(&p.parked, id, n)
	case l.head == 0 || n.seq > p.at(l.head).seq:
		n.place = inList
		p.pushFront(l, id, n)
	case n.seq < p.at(l.tail).seq:
		n.place = inList
		p.pushBack(l, id, n)
	default:
		n.place = inReady
		p.heapPush(&p.ready, id, n)
	}
}

// unlink takes an entry out of the structure it is in.
func (p *LRU) unlink(n *node) {
	switch n.place {
	case inList:
		p.cut(&p.list, n)
	case inPassed:
		p.cut(&p.passed, n)
	case inReady:
		p.heapRemove(&p.ready, n)
	case inParked:
		p.heapRemove(&p.parked, n)
	}
	n.place = inNone
}

func (p *LRU) at(id ID) *node { return p.nodes.At(id) }
