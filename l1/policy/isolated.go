package policy

import "iter"

// IsolatedLRU is LRU with an order of its own for each tenant that Isolate names
// and one for all the others. Its victim is the oldest of theirs, as with LRU, or
// the oldest of one isolated tenant. Finding it costs about the logarithm of the number
// of isolated tenants. Make one with NewIsolatedLRU.
type IsolatedLRU struct {
	order
	free []uint16 // numbers of queues that belong to nobody and are empty
	left []uint16 // those that belong to nobody and may still have entries
}

// MaxIsolated is the most tenants that IsolatedLRU keeps apart at a time.
const MaxIsolated = 4096

// NewIsolatedLRU makes an empty IsolatedLRU.
func NewIsolatedLRU() *IsolatedLRU {
	p := &IsolatedLRU{}
	p.init()
	return p
}

// Isolate gives a tenant an order of its own and reports whether it has one now.
// Its entries move there when they are used, or by Assign.
func (p *IsolatedLRU) Isolate(salt uint32) bool {
	for len(p.home) <= int(salt) {
		p.home = append(p.home, 0)
	}
	if p.home[salt] != 0 {
		return true
	}
	p.collect()
	switch k := len(p.free); {
	case k > 0:
		p.home[salt], p.free = p.free[k-1], p.free[:k-1]
	case len(p.queues) <= 2*MaxIsolated:
		p.home[salt] = uint16(len(p.queues))
		p.addQueue()
	default:
		return false
	}
	return true
}

// Share ends Isolate. Entries of the tenant that are not used again leave from
// where they stand.
func (p *IsolatedLRU) Share(salt uint32) {
	if int(salt) >= len(p.home) || p.home[salt] == 0 {
		return
	}
	p.left = append(p.left, p.home[salt])
	p.home[salt] = 0
	p.collect()
}

// Assign moves an entry to the order of its tenant, under the number it has.
func (p *IsolatedLRU) Assign(id ID) {
	n := p.find(id)
	if n == nil || n.place == inNone || n.place == inPassed {
		return // it goes there when it comes back
	}
	p.unlink(n)
	p.settle(id, n)
}

// Victims yields entries by age, oldest first; with need.BySalt those of one
// tenant, if it is isolated.
func (p *IsolatedLRU) Victims(need Need) iter.Seq[ID] {
	if !need.BySalt {
		return p.search(0, len(p.queues))
	}
	if int(need.Salt) >= len(p.home) || p.home[need.Salt] == 0 {
		return nobody
	}
	q := int(p.home[need.Salt])
	return p.search(q, q+1)
}

// collect finds the queues that have become empty since their tenant left.
func (p *IsolatedLRU) collect() {
	kept := p.left[:0]
	for _, i := range p.left {
		if q := &p.queues[i]; q.list.head == 0 && q.ready.n == 0 && q.parked.n == 0 {
			p.free = append(p.free, i)
		} else {
			kept = append(kept, i)
		}
	}
	p.left = kept
}
