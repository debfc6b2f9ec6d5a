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
