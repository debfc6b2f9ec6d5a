package policy

import "iter"

// LRU evicts the least recently used entry that is neither pinned nor blocked;
// with none left, the least recently used blocked one. The package comment has
// the mechanism. Make one with NewLRU.
type LRU struct{ order }

// NewLRU makes an empty LRU.
func NewLRU() *LRU {
	p := &LRU{}
	p.init()
	return p
}

// Victims yields entries by age, oldest first. Tenants are not told apart: with
// need.BySalt it yields nothing.
func (p *LRU) Victims(need Need) iter.Seq[ID] {
	if need.BySalt {
		return nobody
	}
	return p.search(0, 1)
}
