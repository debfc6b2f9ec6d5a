package storage_test

import (
	"errors"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// quota changes that of the one tenant there is.
func (m *model) quota(s *script) {
	n := int64(s.n(modelObjects + 2))
	switch {
	case !m.quotas:
		if err := m.m.SetQuota("", n); !errors.Is(err, l1.ErrQuotaUnsupported) {
			m.t.Fatalf("a quota with LRU: %v", err)
		}
	case n > modelObjects:
		if had := m.m.DeleteQuota(""); had != (m.allowed != storage.NoQuota) {
			m.t.Fatalf("deleting the quota says %v", had)
		}
		m.allowed = storage.NoQuota
	default:
		if err := m.m.SetQuota("", n*64); err != nil {
			m.t.Fatal(err)
		}
		m.allowed = max(n*64, m.m.Stats().L1.BytesBySalt[""])
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
