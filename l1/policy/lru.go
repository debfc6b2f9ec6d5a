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
	ready  uint32 // root of the heap of entries that lost their place in the list
	parked uint32 // root of the heap of blocked entries that came up
	passed list   // yielded in the running iteration, the latest at the head
	seq    uint64 // last number drawn
	round  uint64 // iterations begun

	victims iter.Seq[ID] // the method value, made once
}

// node is the record of one entry: 32 bytes, no pointers. The links belong to
// the structure that place names.
type node struct {
	seq   uint64
	round uint64 // iteration that yielded it
	prev  uint32
	next  uint32
	child uint32
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
	flagPinned   = 1 << iota // has a reader
	flagBlocked              // should stay
	flagFromList             // was taken from the tail of the list to be passed over
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
		p.unlink(id, n)
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
	p.unlink(id, n)
	p.newest(id, n)
}

// Remove forgets an entry.
func (p *LRU) Remove(id ID) {
	if n := p.find(id); n != nil {
		p.unlink(id, n)
		*n = node{}
	}
}

// Pin takes an entry out of the order.
func (p *LRU) Pin(id ID) {
	if n := p.find(id); n != nil && n.flags&flagPinned == 0 {
		p.unlink(id, n)
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

// Block keeps an entry from being a victim while others can be one. Its place in
// the list or the heap stays until it comes up there.
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
		p.unlink(id, n)
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
		old, top := p.list.tail, p.ready
		switch {
		case old != 0 && p.dismiss(old) || top != 0 && p.dismiss(top):
		case old != 0 && (top == 0 || p.at(old).seq < p.at(top).seq):
			return p.pass(old)
		case top != 0:
			return p.pass(top)
		case p.parked == 0:
			return 0
		case p.at(p.parked).round == p.round:
			p.pass(p.parked)
		default:
			return p.pass(p.parked)
		}
	}
}

// dismiss gets an entry that came up but cannot be the victim out of the way.
func (p *LRU) dismiss(id ID) bool {
	n := p.at(id)
	switch {
	case n.round == p.round:
		p.pass(id)
	case n.flags&flagBlocked != 0:
		p.unlink(id, n)
		p.settle(id, n)
	default:
		return false
	}
	return true
}

// pass moves an entry to the passed ones.
func (p *LRU) pass(id ID) ID {
	n := p.at(id)
	from := n.place
	p.unlink(id, n)
	if from == inList {
		n.flags |= flagFromList
	}
	n.round, n.place = p.round, inPassed
	p.pushFront(&p.passed, id, n)
	return id
}

// restore puts the passed entries back. Those from the list were its tail and go
// back there, the youngest first.
func (p *LRU) restore() {
	for id := p.passed.head; id != 0; id = p.passed.head {
		n := p.at(id)
		fromList := n.flags&flagFromList != 0
		p.unlink(id, n)
		if fromList {
			n.place = inList
			p.pushBack(&p.list, id, n)
			continue
		}
		p.settle(id, n)
	}
}

// newest draws a number for an entry that is in no structure and puts it at the
// head of the list.
func (p *LRU) newest(id ID, n *node) {
	p.seq++
	n.seq, n.place = p.seq, inList
	p.pushFront(&p.list, id, n)
}

// settle puts an entry that is in no structure under the number it has.
func (p *LRU) settle(id ID, n *node) {
	if n.flags&flagBlocked != 0 {
		n.place = inParked
		p.parked = p.meld(p.parked, id)
		return
	}
	n.place = inReady
	p.ready = p.meld(p.ready, id)
}

// unlink takes an entry out of the structure it is in.
func (p *LRU) unlink(id ID, n *node) {
	switch n.place {
	case inList:
		p.cut(&p.list, n)
	case inPassed:
		p.cut(&p.passed, n)
		n.flags &^= flagFromList
	case inReady:
		p.ready = p.heapRemove(p.ready, id, n)
	case inParked:
		p.parked = p.heapRemove(p.parked, id, n)
	}
	n.place = inNone
}

func (p *LRU) at(id ID) *node { return p.nodes.At(id) }
