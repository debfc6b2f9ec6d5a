package l1

import (
	"time"

	"github.com/lmcache-go/lmcache/l1/policy"
)

// allocateLocked gives memory to the positions in need, in order, evicting for as
// many of them as can be served. The rest is out of memory.
func (m *Manager) allocateLocked(w *reservation, need []int32) {
	phys := m.mu.layouts[w.layout].phys
	fit := len(need)
	if len(m.mu.limits) > 0 {
		fit = m.withinQuotasLocked(w, need, phys)
	}
	n := 0
	for n < fit && m.placeLocked(w, int(need[n]), phys) {
		n++
	}
	if n < fit {
		n += m.evictForLocked(w, need[n:fit], phys)
	}
	for _, i := range need[n:] {
		w.denyLocked(int(i))
	}
	w.overQuota = n == fit && fit < len(need)
	m.publishEvictedLocked(w.l.owner, w.at)
	m.wakeLocked()
}

// placeLocked allocates for one position without evicting.
func (m *Manager) placeLocked(w *reservation, i int, phys int64) bool {
	b, ok := m.mu.arena.Alloc(phys)
	if !ok {
		return false
	}
	e := m.mu.entries.At(w.l.items[i].entry)
	w.grantLocked(i, m.newBufferLocked(b, w.layout, e.salt))
	return true
}

// evictForLocked evicts until the positions in need have memory, and returns how
// many of them have. Leased and staged objects, the reservation's own keys and
// their ancestors are safe. If not all can be served, it evicts only for those
// that can.
func (m *Manager) evictForLocked(w *reservation, need []int32, phys int64) int {
	m.lookLocked(w)
	p := m.protectLocked(w)
	free := m.mu.arena.Capacity() - m.mu.arena.Used()
	have := m.mu.stats.EvictableBytes + free
	kept := m.keepsLocked(p, holding{free: have}, holding{free: int64(len(need)) * phys}).free
	fit := min(int64(len(need)), max(0, have-kept)/phys)
	if fit == 0 {
		return 0
	}
	s := m.sweepFor(sweepPlace, w)
	s.need, s.phys = need[:fit], phys
	m.sweepLocked(policy.Need{Bytes: fit * phys})
	if len(s.need) > 0 && m.mu.arena.Reclaim() { // free bytes may lie between objects of other sizes
		s.place()
	}
	placed := int(fit) - len(s.need)
	if placed < int(fit) && m.o.Policy != policyNoop {
		m.noteStallLocked(p, w.at)
	}
	return placed
}

// lookLocked counts that a reservation looks for victims.
func (m *Manager) lookLocked(w *reservation) {
	if m.o.Mode == ModeExact {
		m.mu.tick.triggered = true
	}
	if !w.looked {
		w.looked = true
		m.mu.stats.EvictionRuns++
	}
}

// noteStallLocked remembers that a reservation was denied although there is more
// to evict: the policy does not do its work.
func (m *Manager) noteStallLocked(p *protection, at time.Time) {
	have := holding{free: m.mu.stats.EvictableBytes}
	if m.keepsLocked(p, have, holding{free: 1}).free < have.free {
		m.mu.stats.LastStall = at
	}
}

// withinQuotasLocked returns how many of the positions in need the quotas of their
// tenants allow, and evicts for those from the tenants' own objects.
func (m *Manager) withinQuotasLocked(w *reservation, need []int32, phys int64) int {
	salt := func(j int) uint32 { return m.mu.entries.At(w.l.items[need[j]].entry).salt }
	for lo := 0; lo < len(need); {
		s := salt(lo)
		hi := lo + 1
		for hi < len(need) && salt(hi) == s {
			hi++
		}
		if m.mu.salts.recs[s].limited {
			before := int64(0) // of this hold, and not granted yet
			for j := range lo {
				if salt(j) == s {
					before++
				}
			}
			if n := m.withinQuotaLocked(w, s, before*phys, int64(hi-lo), phys); n < int64(hi-lo) {
				return lo + int(n)
			}
		}
		lo = hi
	}
	return len(need)
}

// withinQuotaLocked makes room under one quota for n objects on top of the pending
// bytes, and returns for how many there is.
func (m *Manager) withinQuotaLocked(w *reservation, salt uint32, pending, n, phys int64) int64 {
	rec := &m.mu.salts.recs[salt]
	room := rec.quota - rec.bytes - pending
	if room >= n*phys {
		return n
	}
	m.lookLocked(w)
	p := m.protectLocked(w)
	kept := m.keepsLocked(p, holding{owned: rec.evictable}, holding{owned: n*phys - room}).owned
	if room+rec.evictable-kept < n*phys && len(p.strands) > 1 {
		kept = m.keptOfLocked(p, salt) // the other chains may be other tenants'
	}
	fit := min(n, max(0, room+rec.evictable-kept)/phys)
	if left := fit*phys - room; fit > 0 && left > 0 {
		m.sweepFor(sweepBytes, w).left = left
		m.sweepLocked(policy.Need{Bytes: left, BySalt: true, Salt: salt})
		rec = &m.mu.salts.recs[salt]
		fit = min(fit, max(0, rec.quota-rec.bytes-pending)/phys)
	}
	return fit
}

// keptOfLocked is how much of one tenant's account a protection keeps.
func (m *Manager) keptOfLocked(p *protection, salt uint32) (owned int64) {
	for _, fp := range p.fps {
		id := m.peekFamilyLocked(fp)
		if id == 0 {
			continue
		}
		if head := m.mu.families.At(id).head; head != 0 && m.mu.entries.At(head).salt == salt {
			owned += m.evictableOfLocked(fp).owned
		}
	}
	return owned
}

// publishEvictedLocked announces what sweeps took out since the last call.
func (m *Manager) publishEvictedLocked(owner string, at time.Time) {
	keys, bytes := m.publishRemovedLocked(CauseEvict, owner, at)
	if keys == 0 {
		return
	}
	m.mu.stats.EvictedObjects += keys
	m.mu.stats.EvictedBytes += bytes
	m.mu.tick.keys += keys
	m.mu.tick.bytes += bytes
	m.mu.stats.LastEviction = at
}
