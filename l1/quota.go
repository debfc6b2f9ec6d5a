package l1

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache/l1/policy"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// ErrQuotaUnsupported says that the eviction policy does not tell tenants apart,
// so that a quota could not take effect.
var ErrQuotaUnsupported = errors.New("quotas need an eviction policy that isolates tenants, as IsolatedLRU")

// MaxQuotas is the most tenants that can have a quota at a time.
const MaxQuotas = policy.MaxIsolated

// Quota is the bytes that the objects of one salt may have, written ones and those
// being written. Bytes are physical.
type Quota struct {
	Salt  string
	Bytes int64
	Used  int64 // now; above Bytes only as far as leases hold what was there when it was lowered
}

// excess is the bytes that a tenant has above its quota.
func (n *name) excess() int64 {
	if !n.limited {
		return 0
	}
	return n.bytes - n.quota
}

// checkQuota validates a quota.
func checkQuota(salt string, bytes int64) error {
	if bytes < 0 {
		return fmt.Errorf("bytes of salt %q: must not be negative, got %d", salt, bytes)
	}
	k := kv.Key{Hash: kv.Hash32([32]byte{}), Model: "m", Salt: salt}
	return k.Validate()
}

// CheckQuota says why SetQuota would refuse its arguments; nil: it would not.
func (m *Manager) CheckQuota(salt string, bytes int64) error {
	if err := checkQuota(salt, bytes); err != nil {
		return fmt.Errorf("l1: SetQuota: %w", err)
	}
	if !m.isolates {
		return fmt.Errorf("l1: SetQuota: %w, got %s", ErrQuotaUnsupported, m.o.Policy)
	}
	return nil
}

// SetQuota limits what the objects of a salt may have together, 0 included. From
// now on a reservation of that salt evicts the salt's own objects where it would
// exceed it, and what still does not fit is OutOfMemory. What is there above a
// lowered quota is evicted before SetQuota returns, in holds of the usual length;
// leased objects of it as soon as they are given back. It takes time in proportion
// to the number of objects.
func (m *Manager) SetQuota(at time.Time, salt string, bytes int64) error {
	if err := m.CheckQuota(salt, bytes); err != nil {
		return err
	}
	m.quotas.Lock() // one change at a time
	defer m.quotas.Unlock()
	id, err := m.isolateTenant(salt)
	if err != nil {
		return fmt.Errorf("l1: SetQuota: %w", err)
	}
	m.mu.Lock()
	rec := &m.mu.salts.recs[id]
	rec.quota, rec.limited = bytes, true
	m.freedLocked()
	m.mu.Unlock()
	for m.excessHold(at) { // each turn is a hold of its own
	}
	return nil
}

// isolateTenant gives a salt an order of its own in the policy and a reference for
// its quota.
func (m *Manager) isolateTenant(salt string) (id uint32, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return 0, ErrClosed
	}
	if id = m.mu.salts.lookup(salt); id != 0 && m.mu.salts.recs[id].limited {
		return id, nil
	}
	if len(m.mu.limits) >= MaxQuotas {
		return 0, fmt.Errorf("salt %q: %d salts have a quota, which is the limit", salt, MaxQuotas)
	}
	id = m.mu.salts.ref(salt)
	if !m.mu.policy.isolate(id) {
		m.mu.salts.unref(id)
		return 0, fmt.Errorf("salt %q: the eviction policy keeps no further tenant apart", salt)
	}
	m.mu.limits = append(m.mu.limits, id)
	slices.SortFunc(m.mu.limits, func(a, b uint32) int {
		return strings.Compare(m.mu.salts.recs[a].text, m.mu.salts.recs[b].text)
	})
	m.assignLocked(id)
	return id, nil
}

// assignLocked moves a tenant's entries to its order, or out of it. It gives the
// mutex up between holds; entries that come meanwhile are in the right place.
func (m *Manager) assignLocked(salt uint32) {
	handled := 0
	for id, scanned := uint32(1), uint32(0); id < m.mu.entryLimit; id, scanned = id+1, scanned+1 {
		if handled == maxHold || scanned == maxScan {
			m.mu.Unlock()
			m.mu.Lock()
			handled, scanned = 0, 0
		}
		if !m.mu.entries.Has(id) {
			continue
		}
		if e := m.mu.entries.At(id); e.salt == salt && e.is(flagTracked) {
			m.mu.policy.assign(id)
			handled++
		}
	}
}

// excessHold evicts a part of what is above quotas and reports whether to go on.
func (m *Manager) excessHold(at time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return false
	}
	m.enterLocked(at)
	more := m.evictExcessLocked()
	m.publishEvictedLocked("", at)
	return more
}

// DeleteQuota takes a salt's limit away and reports whether it had one.
func (m *Manager) DeleteQuota(salt string) bool {
	m.quotas.Lock()
	defer m.quotas.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.mu.salts.lookup(salt)
	if id == 0 || !m.mu.salts.recs[id].limited {
		return false
	}
	rec := &m.mu.salts.recs[id]
	rec.quota, rec.limited = 0, false
	m.mu.limits = slices.DeleteFunc(m.mu.limits, func(l uint32) bool { return l == id })
	m.mu.policy.share(id)
	m.assignLocked(id)
	m.mu.salts.unref(id)
	m.freedLocked()
	return true
}

// Quota is a salt's limit in bytes; 0 if it has none, which HasQuota tells apart.
func (m *Manager) Quota(salt string) int64 {
	q, _ := m.quotaOf(salt)
	return q
}

// HasQuota reports whether a salt has a limit.
func (m *Manager) HasQuota(salt string) bool {
	_, ok := m.quotaOf(salt)
	return ok
}

func (m *Manager) quotaOf(salt string) (int64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rec := &m.mu.salts.recs[m.mu.salts.lookup(salt)]
	return rec.quota, rec.limited
}

// Quotas lists all limits, by salt.
func (m *Manager) Quotas() []Quota {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.quotasLocked()
}

func (m *Manager) quotasLocked() []Quota {
	list := make([]Quota, 0, len(m.mu.limits))
	for _, id := range m.mu.limits {
		if rec := &m.mu.salts.recs[id]; rec.limited {
			list = append(list, Quota{Salt: rec.text, Bytes: rec.quota, Used: rec.bytes})
		}
	}
	return list
}
