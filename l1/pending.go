package l1

import (
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// StoresEnded says that nothing has to be stored of these keys any more: they are
// in all of their outer tiers, or will never be.
func (m *Manager) StoresEnded(at time.Time, keys []kv.Key) {
	m.unhold(at, keys, flagPending|flagHeld)
}

// StoresLate says that the stores of these keys take too long to wait for them:
// they may be evicted like others, which is counted as EvictedPending.
func (m *Manager) StoresLate(at time.Time, keys []kv.Key) { m.unhold(at, keys, flagHeld) }

func (m *Manager) unhold(at time.Time, keys []kv.Key, flags uint8) {
	var n kv.Names
	for lo := 0; lo < len(keys); lo += maxHold {
		m.unholdHold(at, keys[lo:min(lo+maxHold, len(keys))], flags, &n)
	}
}

func (m *Manager) unholdHold(at time.Time, keys []kv.Key, flags uint8, n *kv.Names) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return
	}
	m.enterLocked(at)
	m.mu.coverLocked(len(keys))
	for i := range keys {
		id := m.seekLocked(&keys[i], n)
		if id == 0 {
			continue
		}
		e := m.mu.entries.At(id)
		e.flags &^= flags
		m.unblockLocked(id, e)
	}
}

// unblockLocked makes an entry an ordinary candidate again if nothing speaks
// against it any more.
func (m *Manager) unblockLocked(id uint32, e *entry) {
	if e.is(flagBlocked) && !e.is(flagHeld) && m.mu.families.At(e.family).children == 0 {
		e.flags &^= flagBlocked
		m.mu.policy.Unblock(id)
	}
}
