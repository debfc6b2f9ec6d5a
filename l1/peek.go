package l1

import "github.com/lmcache-go/lmcache/storage/kv"

// Peek says of each key why a ReserveRead would not lease it; DetailNone: it would. It
// leases nothing and leaves no trace: no recency, no event, no count, and, unlike a
// ReserveRead with Look, no memory of which keys were named and follow each other. What
// it says may be over when it returns.
func (m *Manager) Peek(keys []kv.Key, layout kv.Layout) ([]Detail, error) {
	if err := m.checkCall("Peek", keys, layout); err != nil {
		return nil, err
	}
	out := make([]Detail, len(keys))
	fp := layout.Fingerprint()
	var names kv.Names
	for lo := 0; lo < len(keys); lo += maxHold {
		if !m.peek(keys[lo:min(lo+maxHold, len(keys))], fp, &names, out[lo:]) {
			return nil, ErrClosed
		}
	}
	return out, nil
}

// peek is one hold of Peek; false: the manager has closed.
func (m *Manager) peek(keys []kv.Key, fp kv.Fingerprint, names *kv.Names, out []Detail) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return false
	}
	m.mu.coverLocked(len(keys))
	for i := range keys {
		fam := m.peekFamilyLocked(names.Family(&keys[i]))
		_, out[i] = m.readableLocked(m.findLocked(&keys[i], fam), fam, fp)
	}
	return true
}
