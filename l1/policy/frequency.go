package policy

import (
	"iter"
	"math/bits"
	"time"

	"github.com/lmcache-go/lmcache/l1/internal/slab"
)

// RecencyFrequency evicts the entry with the least score, which is
//
//	number of the last use + weight * log2(uses)
//
// where uses are counted since the entry was first seen, also over times in which it
// was away, if it came back soon enough ([ghosts]). The weight tunes itself: of a few
// weights, zero among them, which is LRU, the one is taken that would have had the most
// hits lately ([forecast]). Nothing is set by hand.
//
// Entries of one number of uses stand in one queue, so that the victim is the least
// of the queues' oldest, and a change of the weight costs nothing. Make one with
// NewRecencyFrequency.
type RecencyFrequency struct {
	order
	names    slab.Table[uint64] // by id: its fingerprint; 0: not known
	ghosts   ghosts
	forecast forecast
	tracked  uint32
}

// maxUses is the most uses that are counted.
const maxUses = 64

// useClasses are the numbers of uses that are told apart: few, and so close together
// that nothing is lost.
var useClasses = [...]uint32{1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 48, maxUses}

// NewRecencyFrequency makes an empty RecencyFrequency.
func NewRecencyFrequency() *RecencyFrequency {
	p := &RecencyFrequency{}
	p.victims = p.iterate
	p.home = make([]uint16, maxUses+1)
	for i, uses := range useClasses {
		p.addQueue()
		p.rank = append(p.rank, log2(uint64(uses)))
		for u := uses; u <= maxUses; u++ {
			p.home[u] = uint16(i)
		}
	}
	p.forecast.init(p.rank)
	return p
}

// log2 is the logarithm of n in units of 1/one, exact to the unit, in integers:
// equal on every machine.
func log2(n uint64) uint64 {
	whole := bits.Len64(n) - 1
	x, r := n<<(31-whole), uint64(whole)*one // x is in [1, 2) with 31 bits behind the point
	for bit := uint64(one / 2); bit > 0; bit /= 2 {
		if x = x * x >> 31; x >= 1<<32 {
			x, r = x>>1, r+bit
		}
	}
	return r
}

// Weight is by how many uses of all entries later an entry leaves that was used twice
// as often as another. 0: like LRU.
func (p *RecencyFrequency) Weight() uint64 { return p.weight }

// Insert tracks an entry as the newest, with one use.
func (p *RecencyFrequency) Insert(id ID, size int64, _ uint32, at time.Time) {
	if p.find(id) == nil {
		p.tracked++
	}
	*p.names.Grow(id) = 0
	p.order.Insert(id, size, 1, at)
	p.forecast.came(p.seq, 0)
	p.forecast.fit(p.tracked)
}

// Recognize counts the uses that an entry had before it left.
func (p *RecencyFrequency) Recognize(id ID, fingerprint uint64) {
	n := p.find(id)
	if n == nil {
		return
	}
	*p.names.At(id) = fingerprint
	seq, uses := p.ghosts.take(fingerprint, p.seq)
	if uses == 0 {
		return
	}
	p.unlink(n)
	n.kind = min(uses+1, maxUses)
	n.place = inList
	p.pushFront(&p.enter(n).list, id, n)
	p.forecast.left(n.seq, 0)
	p.used(n, seq, uses)
}

// Touch makes an entry the newest and counts a use.
func (p *RecencyFrequency) Touch(id ID, at time.Time) {
	if n := p.find(id); n != nil {
		seq, uses := n.seq, n.kind
		n.kind = min(uses+1, maxUses)
		p.order.Touch(id, at)
		p.used(n, seq, uses)
	}
}

// Unpin puts an entry back; a use is counted if it was read.
func (p *RecencyFrequency) Unpin(id ID, read bool, at time.Time) {
	n := p.find(id)
	if n == nil || n.flags&flagPinned == 0 {
		return
	}
	if !read {
		p.order.Unpin(id, false, at)
		return
	}
	seq, uses := n.seq, n.kind
	n.kind = min(uses+1, maxUses)
	p.order.Unpin(id, true, at)
	p.used(n, seq, uses)
}

// used tells the forecast about a use of an entry that has been used before.
func (p *RecencyFrequency) used(n *node, before uint64, uses uint32) {
	p.forecast.used(n.seq, before, int(p.home[uses]))
	p.forecast.came(n.seq, int(p.home[n.kind]))
	p.weight = p.forecast.weight()
}

// Remove forgets an entry but remembers its uses.
func (p *RecencyFrequency) Remove(id ID) {
	n := p.find(id)
	if n == nil {
		return
	}
	if name := *p.names.At(id); name != 0 {
		p.ghosts.put(name, n.seq, n.kind)
	}
	p.tracked--
	p.order.Remove(id)
}

// Victims yields entries by score, the least first. Tenants are not told apart: with
// need.BySalt it yields nothing.
func (p *RecencyFrequency) Victims(need Need) iter.Seq[ID] {
	if need.BySalt {
		return nobody
	}
	p.ghosts.size(p.tracked)
	p.forecast.full(p.tracked)
	return p.search(0, len(p.queues))
}
