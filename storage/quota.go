package storage

import (
	"cmp"
	"errors"
	"slices"
	"sync"

	"github.com/lmcache-go/lmcache/l1"
)

// Quota is the limit of one tenant in L1, and what it uses. Where only tiers tell
// tenants apart, Used is what it has in L1 all the same.
type Quota = l1.Quota

// tierQuotas are the limits that tiers know and L1 does not.
type tierQuotas struct {
	mu    sync.Mutex
	bytes map[string]int64
}

// isolating reports whether L1 tells tenants apart, and whether a tier does.
func (m *Manager) isolating() (inL1, inTier bool) {
	inL1 = !errors.Is(m.l1.CheckQuota("", 0), l1.ErrQuotaUnsupported)
	for _, t := range m.tiers {
		inTier = inTier || t.Isolates()
	}
	return inL1, inTier
}

// SetQuota limits the bytes that the objects of a salt have in L1, those that are
// being written included, and in each tier that tells tenants apart; 0 is allowed. A
// lowered quota has taken effect in L1 when it returns, leased objects apart, which
// go when they are given back; tiers follow in the background. It needs the eviction
// policy IsolatedLRU somewhere, and takes time in proportion to the number of objects
// in L1. Quotas are kept in memory only.
func (m *Manager) SetQuota(salt string, bytes int64) error {
	if m.closed.Load() {
		return ErrClosed
	}
	inL1, inTier := m.isolating()
	if err := m.l1.CheckQuota(salt, bytes); err != nil && (inL1 || !inTier || !errors.Is(err, l1.ErrQuotaUnsupported)) {
		return err
	}
	at := m.rt.Now()
	if m.tracing() {
		n := m.call(at, Call{Name: CallQuota, Salt: salt, Bytes: bytes, Owner: NoCall})
		defer m.done(CallDone{Name: CallQuota, N: n}, at)
	}
	if inL1 {
		if err := m.l1.SetQuota(at, salt, bytes); err != nil {
			return closedError(err)
		}
	} else {
		m.quotas.mu.Lock()
		if m.quotas.bytes == nil {
			m.quotas.bytes = make(map[string]int64)
		}
		m.quotas.bytes[salt] = bytes
		m.quotas.mu.Unlock()
	}
	for _, t := range m.tiers {
		t.SetQuota(salt, bytes)
	}
	return nil
}

// DeleteQuota takes the limit of a salt away and reports whether it had one.
func (m *Manager) DeleteQuota(salt string) bool {
	if m.closed.Load() {
		return false
	}
	at := m.rt.Now()
	if m.tracing() {
		n := m.call(at, Call{Name: CallQuota, Salt: salt, Bytes: NoQuota, Owner: NoCall})
		defer m.done(CallDone{Name: CallQuota, N: n}, at)
	}
	for _, t := range m.tiers {
		t.SetQuota(salt, NoQuota)
	}
	m.quotas.mu.Lock()
	_, had := m.quotas.bytes[salt]
	delete(m.quotas.bytes, salt)
	m.quotas.mu.Unlock()
	return m.l1.DeleteQuota(salt) || had
}

// Quota is the limit of a salt in bytes; 0 if it has none, which HasQuota tells
// apart.
func (m *Manager) Quota(salt string) int64 {
	m.quotas.mu.Lock()
	defer m.quotas.mu.Unlock()
	if n, ok := m.quotas.bytes[salt]; ok {
		return n
	}
	return m.l1.Quota(salt)
}

// HasQuota reports whether a salt has a limit.
func (m *Manager) HasQuota(salt string) bool {
	m.quotas.mu.Lock()
	defer m.quotas.mu.Unlock()
	_, ok := m.quotas.bytes[salt]
	return ok || m.l1.HasQuota(salt)
}

// Quotas lists all limits, by salt.
func (m *Manager) Quotas() []Quota {
	list := m.l1.Quotas()
	m.quotas.mu.Lock()
	defer m.quotas.mu.Unlock()
	if len(m.quotas.bytes) > 0 {
		used := m.l1.Stats().BytesBySalt
		for salt, n := range m.quotas.bytes {
			list = append(list, Quota{Salt: salt, Bytes: n, Used: used[salt]})
		}
		slices.SortFunc(list, func(a, b Quota) int { return cmp.Compare(a.Salt, b.Salt) })
	}
	return list
}
