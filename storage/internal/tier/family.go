package tier

import "github.com/lmcache-go/lmcache/storage/kv"

// family is the entries that differ in rank only: the ranks of one chunk. They leave
// together, and a family stays as long as one that follows it in the prompt.
//
// Families are known by a 64-bit fingerprint: a collision may change an order of
// eviction, never data.
type family struct {
	fp       uint64
	gen      uint32 // raised when the record is used again
	head     uint32 // first entry
	entries  uint32
	active   uint32 // entries that are not being deleted
	children uint32 // families after it, as far as is known, with active entries
	prev     pinned // the family before in the prompt, as far as is known
}

// join makes an entry, which must be active, a member of its family.
func (x *index) join(id uint32) {
	e := x.at(id)
	fp := x.names.Family(&e.key)
	n, ok := x.families[fp]
	if !ok {
		if last := len(x.freeFamilies) - 1; last >= 0 {
			n, x.freeFamilies = x.freeFamilies[last], x.freeFamilies[:last]
		} else {
			n = uint32(len(x.kin))
			x.kin = append(x.kin, family{})
		}
		x.kin[n] = family{fp: fp, gen: x.kin[n].gen + 1}
		x.families[fp] = n
	}
	f := &x.kin[n]
	e.family, e.sibling = n, f.head
	f.head = id
	f.entries++
	x.activate(e, id)
}

// activate counts an entry that is not being deleted, which the policy tracks.
func (x *index) activate(e *entry, id uint32) {
	f := &x.kin[e.family]
	if f.children > 0 {
		x.policy.Block(id)
	}
	if f.active++; f.active == 1 {
		if p := x.parent(f); p != 0 {
			x.adopt(p)
		}
	}
}

// deactivate ends activate.
func (x *index) deactivate(e *entry) {
	f := &x.kin[e.family]
	if f.active--; f.active == 0 {
		if p := x.parent(f); p != 0 {
			x.orphan(p)
		}
	}
}

// leave takes an entry, which must not be active, out of its family.
func (x *index) leave(id uint32) {
	e := x.at(id)
	f := &x.kin[e.family]
	at := &f.head
	for *at != id {
		at = &x.at(*at).sibling
	}
	*at = e.sibling
	if f.entries--; f.entries == 0 {
		delete(x.families, f.fp)
		*f = family{gen: f.gen + 1}
		x.freeFamilies = append(x.freeFamilies, e.family)
	}
}

// parent is the live predecessor of a family, or 0.
func (x *index) parent(f *family) uint32 {
	if p := f.prev; p.id != 0 && x.kin[p.id].gen == p.gen {
		return p.id
	}
	return 0
}

// adopt counts a successor of a family, which should stay as long as it has one.
func (x *index) adopt(n uint32) {
	f := &x.kin[n]
	if f.children++; f.children == 1 {
		for id := f.head; id != 0; id = x.at(id).sibling {
			if !x.at(id).erasing() {
				x.policy.Block(id)
			}
		}
	}
}

// orphan ends adopt.
func (x *index) orphan(n uint32) {
	f := &x.kin[n]
	if f.children--; f.children == 0 {
		for id := f.head; id != 0; id = x.at(id).sibling {
			if !x.at(id).erasing() {
				x.policy.Unblock(id)
			}
		}
	}
}

// leaving is what leaves with an entry, itself first: the members of its family that
// are neither pinned nor being deleted. bytes is what they take.
func (x *index) leaving(id uint32) (ids []uint32, bytes int64) {
	ids, bytes = append(ids, id), x.at(id).size
	for o := x.kin[x.at(id).family].head; o != 0; o = x.at(o).sibling {
		if e := x.at(o); o != id && e.pins == 0 && !e.erasing() {
			ids, bytes = append(ids, o), bytes+e.size
		}
	}
	return ids, bytes
}

// maxWalk bounds the walk along a chain.
const maxWalk = 1 << 14

// linkLocked makes the family of prev, an earlier chunk of the same prompt, the
// predecessor of that of k, if both are known: it is evicted after it. The first link
// of a family stays, and one that would close a cycle is ignored.
func (t *Tier) linkLocked(prev, k kv.Key) {
	if prev.Hash.Len() == 0 {
		return
	}
	x := &t.mu.index
	p, n := x.families[x.names.Family(&prev)], x.families[x.names.Family(&k)]
	if p == 0 || n == 0 || p == n {
		return
	}
	f := &x.kin[n]
	if f.active == 0 || x.kin[p].active == 0 || x.parent(f) != 0 {
		return
	}
	if f.children > 0 {
		for up, steps := p, 0; up != 0; up = x.parent(&x.kin[up]) {
			if steps++; up == n || steps > maxWalk {
				return
			}
		}
	}
	f.prev = pinned{p, x.kin[p].gen}
	x.adopt(p)
}
