package storage_test

import (
	"errors"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// quotas says what quota operations do.
type quotas uint8

const (
	noQuotas    quotas = iota // nothing; with LRU they are refused
	hugeQuotas                // every tenant has one that it never reaches
	smallQuotas               // the first tenant has one of a few objects, or none
)

const hugeQuota = 1 << 40

// quota changes that of the first tenant.
func (m *model) quota(s *script) {
	n := int64(s.n(modelObjects + 2))
	switch {
	case m.o.policy != "IsolatedLRU":
		if err := m.m.SetQuota("", n); !errors.Is(err, l1.ErrQuotaUnsupported) {
			m.t.Fatalf("a quota with %s: %v", m.o.policy, err)
		}
	case m.o.quota == noQuotas:
	case m.o.quota == hugeQuotas:
		if err := m.m.SetQuota("", hugeQuota+n); err != nil {
			m.t.Fatal(err)
		}
	case n > modelObjects:
		if had := m.m.DeleteQuota(""); had != (m.allowed != storage.NoQuota) {
			m.t.Fatalf("deleting the quota says %v", had)
		}
		m.allowed = storage.NoQuota
	default:
		if err := m.m.SetQuota("", n*m.phys); err != nil {
			m.t.Fatal(err)
		}
		m.allowed = max(n*m.phys, m.m.Stats().L1.BytesBySalt[""])
	}
}

// withinQuota checks that the tenant is within its quota, or has not more of what
// leases kept when it was lowered.
func (m *model) withinQuota() {
	if m.allowed == storage.NoQuota {
		return
	}
	used := m.m.Stats().L1.BytesBySalt[""]
	if used > m.allowed || m.m.Quota("") > m.allowed {
		m.t.Fatalf("%d bytes are used, quota %d, allowed %d", used, m.m.Quota(""), m.allowed)
	}
	m.allowed = max(m.m.Quota(""), used)
}
