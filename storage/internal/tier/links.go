package tier

import "github.com/lmcache-go/lmcache/storage/kv"

// maxWalk bounds the walk along a chain.
const maxWalk = 1 << 14

// linkLocked makes prev, an earlier chunk of the same prompt, the predecessor of k, if
// both are known: it is evicted after k. The first link of an object stays, and one
// that would close a cycle is ignored.
func (t *Tier) linkLocked(prev, k kv.Key) {
	if prev.Hash.Len() == 0 {
		return
	}
	x := &t.mu.index
	p, id := x.find(prev), x.find(k)
	if p == 0 || id == 0 || p == id {
		return
	}
	e := x.at(id)
	if e.erasing || x.at(p).erasing || x.parent(e) != 0 {
		return
	}
	if e.children > 0 {
		for up, steps := p, 0; up != 0; up = x.parent(x.at(up)) {
			if steps++; up == id || steps > maxWalk {
				return
			}
		}
	}
	e.prev = pinned{p, x.at(p).gen}
	x.adopt(p)
}

// parent is the live predecessor of an entry, or 0.
func (x *index) parent(e *entry) uint32 {
	if p := e.prev; p.id != 0 && x.at(p.id).gen == p.gen {
		return p.id
	}
	return 0
}

// adopt counts a successor of an entry, which should stay as long as it has one.
func (x *index) adopt(id uint32) {
	e := x.at(id)
	if e.children++; e.children == 1 && !e.erasing {
		x.policy.Block(id)
	}
}

// orphan ends adopt.
func (x *index) orphan(id uint32) {
	e := x.at(id)
	if e.children--; e.children == 0 && !e.erasing {
		x.policy.Unblock(id)
	}
}

// chain follows a list of keys and remembers, for each rank, the chunk before.
type chain struct {
	model, salt string
	group       uint16
	last        map[uint32]kv.Key // by rank
}

// step is the predecessor of k in the list; the zero key if there is none.
func (c *chain) step(k kv.Key) kv.Key {
	if c.last == nil || c.model != k.Model || c.salt != k.Salt || c.group != k.Group {
		c.model, c.salt, c.group = k.Model, k.Salt, k.Group
		c.last = make(map[uint32]kv.Key, 1)
	}
	prev := c.last[k.Rank]
	c.last[k.Rank] = k
	return prev
}

// Chain gives each key of a list, in order of a prompt, to f with its predecessor.
func Chain(keys []kv.Key, f func(i int, prev kv.Key)) {
	var c chain
	for i, k := range keys {
		f(i, c.step(k))
	}
}
