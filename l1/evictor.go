package l1

import (
	"time"

	"github.com/lmcache-go/lmcache/l1/policy"
)

// evictor is the work that no reservation waits for: the rounds of watermark mode,
// and what leases kept of a tenant whose quota was lowered. It is woken where
// usage rises or something becomes evictable, runs in holds of at most maxHold
// victims, and sleeps again when there is nothing to do. Nothing polls.
type evictor struct {
	armed bool
	since time.Time // armed: of the last progress
	open  bool      // a round runs
	left  int64     // bytes that it may still evict
	first bool      // it has evicted nothing yet
	said  time.Time // when the beginning of a round was last logged
}

// wakeLocked wakes the evictor if usage has reached the watermark.
func (m *Manager) wakeLocked() {
	if m.o.Mode == ModeWatermark && !m.mu.evictor.armed && m.usageLocked() >= m.o.Watermark {
		m.armEvictorLocked()
	}
}

// wakeForLocked is wakeLocked after something of a tenant became evictable.
func (m *Manager) wakeForLocked(salt uint32) {
	if m.mu.salts.recs[salt].excess() > 0 {
		m.armEvictorLocked()
	}
	m.wakeLocked()
}

func (m *Manager) armEvictorLocked() {
	if m.mu.evictor.armed || m.mu.closed {
		return
	}
	m.mu.evictor.armed, m.mu.evictor.since = true, m.mu.now
	m.rt.At(m.mu.now, m.onEvict)
}

func (m *Manager) onEvict() {
	for m.evictHold() { // each turn is a hold of its own
	}
}

// evictHold does a part of what there is to do and reports whether to go on.
func (m *Manager) evictHold() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	ev := &m.mu.evictor
	if m.mu.closed {
		ev.armed = false
		return false
	}
	now := m.rt.Now()
	m.enterLocked(now)
	more := m.evictExcessLocked() || m.roundLocked()
	m.publishEvictedLocked("", now)
	ev.since = now
	if !more {
		ev.armed, ev.since = false, time.Time{}
	}
	return more
}

// evictExcessLocked takes from tenants that are above their quotas, and reports
// whether it found something.
func (m *Manager) evictExcessLocked() bool {
	s := m.sweepFor(sweepBytes, nil)
	s.room = maxHold
	for _, salt := range m.mu.limits {
		rec := &m.mu.salts.recs[salt]
		over := rec.excess()
		if over <= 0 || rec.evictable == 0 || s.room <= 0 {
			continue
		}
		s.left = over
		m.sweepLocked(policy.Need{Bytes: over, BySalt: true, Salt: salt})
	}
	return s.taken > 0
}

// roundLocked does a part of a round of watermark mode: victims of EvictionRatio
// of what is tracked, at least one. It reports whether to go on, with this round
// or with another one.
func (m *Manager) roundLocked() bool {
	ev := &m.mu.evictor
	if m.o.Mode != ModeWatermark {
		return false
	}
	if !ev.open {
		usage := m.usageLocked()
		if usage < m.o.Watermark || m.o.EvictionRatio <= 0 {
			return false
		}
		tracked := m.mu.arena.Used() - m.mu.stats.StagedBytes - m.mu.stats.OrphanedBytes
		ev.open, ev.left, ev.first = true, int64(m.o.EvictionRatio*float64(tracked)), true
		m.mu.tick.triggered, m.mu.tick.usage = true, usage
		if m.mu.now.Sub(ev.said) >= tickPeriod { // rounds may follow each other closely
			ev.said = m.mu.now
			m.warnLocked(usageMessage(usage, m.o.Watermark))
		}
	}
	s := m.sweepFor(sweepRound, nil)
	s.room = maxHold
	for _, salt := range m.mu.limits {
		m.roundOfTenantLocked(s, salt)
	}
	m.roundSweepLocked(s, policy.Need{Bytes: ev.left}, ev.left)
	ev.open = s.taken > 0 && !s.full && ev.left > 0
	return s.taken > 0 || s.full
}

// roundOfTenantLocked takes first from a tenant that is above the watermark of its quota.
func (m *Manager) roundOfTenantLocked(s *sweep, salt uint32) {
	rec := &m.mu.salts.recs[salt]
	if !rec.limited {
		return
	}
	over := rec.bytes - int64(m.o.Watermark*float64(rec.quota))
	if over > 0 && rec.evictable > 0 {
		m.roundSweepLocked(s, policy.Need{Bytes: over, BySalt: true, Salt: salt}, min(over, m.mu.evictor.left))
	}
}

// roundSweepLocked evicts up to so many bytes of the round. Its first victim may
// be larger than all of it.
func (m *Manager) roundSweepLocked(s *sweep, need policy.Need, upTo int64) {
	ev := &m.mu.evictor
	if s.room <= 0 || ev.left <= 0 && !ev.first {
		return
	}
	s.full, s.first, s.left = false, ev.first, upTo
	m.sweepLocked(need)
	ev.left -= upTo - s.left
	ev.first = s.first
}
