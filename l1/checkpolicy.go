package l1

import "github.com/lmcache-go/lmcache/l1/policy"

// checkTenantsLocked compares the accounts of the salts with the records.
func (m *Manager) checkTenantsLocked(bad func(string, ...any)) {
	bytes, evict := make(map[uint32]int64), make(map[uint32]int64)
	for _, e := range m.mu.entries.All() {
		for _, buf := range []uint32{e.buf, e.staged} {
			if buf != 0 {
				bytes[e.salt] += m.physLocked(buf)
			}
		}
		if evictable(e) {
			evict[e.salt] += m.physLocked(e.buf)
		}
	}
	limited, listed := 0, 0
	for i := range m.mu.salts.recs {
		id, rec := uint32(i), &m.mu.salts.recs[i]
		if rec.bytes != bytes[id] || rec.evictable != evict[id] {
			bad("salt %q has %d bytes, %d evictable; counted %d and %d", rec.text, bytes[id], evict[id], rec.bytes, rec.evictable)
		}
		if rec.limited {
			limited++
		}
	}
	for _, id := range m.mu.limits { // a new one is listed before its limit is set
		if m.mu.salts.recs[id].limited {
			listed++
		}
	}
	if limited != listed {
		bad("%d salts are limited, the list has %d", limited, listed)
	}
}

// checkPolicyLocked asks the policy for all victims, which changes nothing: they
// must be the evictable entries, those of a limited tenant as well.
func (m *Manager) checkPolicyLocked(bad func(string, ...any)) {
	switch m.mu.policy.p.(type) {
	case *policy.LRU, *policy.IsolatedLRU, *policy.RecencyFrequency:
	default:
		return // it may keep something back, or never come to an end
	}
	if m.mu.policy.failure != "" {
		return
	}
	m.checkVictimsLocked(policy.Need{}, bad)
	for _, salt := range m.mu.limits {
		if m.mu.salts.recs[salt].limited { // else its entries may still be on their way to its order
			m.checkVictimsLocked(policy.Need{BySalt: true, Salt: salt}, bad)
		}
	}
}

func (m *Manager) checkVictimsLocked(need policy.Need, bad func(string, ...any)) {
	named := make(map[policy.ID]bool)
	m.mu.policy.search(need, func(id policy.ID) bool {
		named[id] = true
		return true
	})
	want := 0
	for id, e := range m.mu.entries.All() {
		if !evictable(e) || need.BySalt && e.salt != need.Salt {
			continue
		}
		want++
		if !named[id] {
			bad("entry %d is evictable, and the policy does not name it (by salt %v %d)", id, need.BySalt, need.Salt)
		}
	}
	if len(named) != want {
		bad("the policy names %d victims (by salt %v %d), want %d", len(named), need.BySalt, need.Salt, want)
	}
}
