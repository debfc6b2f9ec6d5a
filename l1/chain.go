package l1

import "github.com/lmcache-go/lmcache/storage/kv"

// chain follows a list of keys and links each family to the one before.
type chain struct {
	prev   *kv.Key // the key before
	prevFP uint64  // and the fingerprint of its family
	id     uint32  // its family, valid within one hold
}

// start makes k the predecessor of the first key.
func (c *chain) start(m *Manager, k *kv.Key, fp uint64) {
	c.prev, c.prevFP, c.id = k, fp, m.familyLocked(fp, 0)
}

// resume begins a new hold: families may have gone in between.
func (c *chain) resume(m *Manager) {
	if c.prev != nil {
		c.id = m.peekFamilyLocked(c.prevFP)
	}
}

// step returns the family of k, linked behind the family of the key before; found
// is where it was found earlier in this hold, or 0.
func (c *chain) step(m *Manager, k *kv.Key, fp uint64, found uint32) uint32 {
	if c.id != 0 && c.prevFP == fp && sameChain(c.prev, k) { // another rank of the same chunk
		c.prev = k
		return c.id
	}
	id := m.familyLocked(fp, found)
	if c.prev != nil && c.id != 0 && sameChain(c.prev, k) {
		m.linkLocked(c.id, id)
	}
	c.prev, c.prevFP, c.id = k, fp, id
	return id
}

func sameChain(a, b *kv.Key) bool {
	return a.Group == b.Group && a.Model == b.Model && a.Salt == b.Salt
}

// scratch is the working memory of one hold.
type scratch struct {
	fp   [maxHold]uint64 // fingerprint of each key's family
	fam  [maxHold]uint32 // the family of each key
	need [maxHold]int32  // positions that need memory
	warm uint32
}

// prepareLocked finds the families of keys (0: none yet). It works in passes over
// all keys, each of which reads memory that the processor has to wait for, so that
// it waits for many of them at a time.
func (m *Manager) prepareLocked(keys []kv.Key, n *namer) {
	s := &m.mu.scratch
	warm := uint32(0)
	if a := &m.mu.absent; a.n >= max(minAbsent, m.mu.indexed) { // new families will push out old ones
		id := a.head
		for range keys {
			f := m.mu.families.At(id)
			warm += m.mu.index.touch(f.fp)
			id = f.next
		}
	}
	for i := range keys {
		s.fp[i] = n.family(&keys[i])
	}
	for _, fp := range s.fp[:len(keys)] {
		warm += m.mu.index.touch(fp)
	}
	for i := range keys {
		id := m.peekFamilyLocked(s.fp[i])
		s.fam[i] = id
		if id != 0 {
			warm += m.mu.families.At(id).head
		}
	}
	for i := range keys {
		if id := s.fam[i]; id != 0 {
			if head := m.mu.families.At(id).head; head != 0 {
				warm += uint32(m.mu.entries.At(head).flags)
			}
		}
	}
	s.warm = warm // keeps the reads
}
