package storage

import "github.com/lmcache-go/lmcache/l1"

// Quota is the limit of one tenant in L1, and what it uses.
type Quota = l1.Quota

// SetQuota limits the bytes that the objects of a salt have in L1, those that are
// being written included; 0 is allowed. A lowered quota has taken effect when it
// returns, leased objects apart, which go when they are given back. It needs the
// eviction policy IsolatedLRU, and takes time in proportion to the number of
// objects. Quotas are kept in memory only.
func (m *Manager) SetQuota(salt string, bytes int64) error {
	if m.closed.Load() {
		return ErrClosed
	}
	if err := m.l1.CheckQuota(salt, bytes); err != nil {
		return err
	}
	at := m.rt.Now()
	if m.tracing() {
		n := m.call(at, Call{Name: CallQuota, Salt: salt, Bytes: bytes, Owner: NoCall})
		defer m.done(CallDone{Name: CallQuota, N: n}, at)
	}
	return closedError(m.l1.SetQuota(at, salt, bytes))
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
	return m.l1.DeleteQuota(salt)
}

// Quota is the limit of a salt in bytes; 0 if it has none, which HasQuota tells
// apart.
func (m *Manager) Quota(salt string) int64 { return m.l1.Quota(salt) }

// HasQuota reports whether a salt has a limit.
func (m *Manager) HasQuota(salt string) bool { return m.l1.HasQuota(salt) }

// Quotas lists all limits, by salt.
func (m *Manager) Quotas() []Quota { return m.l1.Quotas() }
