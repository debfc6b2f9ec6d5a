package l1

import (
	"errors"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Check finds nothing wrong with a quota that is being set, whose tenant's entries
// are still being moved.
func TestCheckBesideSetQuota(t *testing.T) {
	m, err := New(Options{Bytes: 8 * 4096, NoBytes: true, Policy: "IsolatedLRU"})
	if err != nil {
		t.Fatal(err)
	}
	layout, err := kv.RawLayout(4096)
	if err != nil {
		t.Fatal(err)
	}
	storeKeys(t, m, layout, longKeys(4)...)
	m.mu.Lock()
	id := m.mu.salts.ref("")
	m.mu.policy.isolate(id)
	m.mu.limits = append(m.mu.limits, id)
	m.mu.Unlock()
	if err := m.Check(); err != nil {
		t.Errorf("before the entries are moved: %v", err)
	}
	m.mu.Lock()
	m.assignLocked(id)
	m.mu.Unlock()
	if err := m.Check(); err != nil {
		t.Errorf("before the limit is set: %v", err)
	}
	m.mu.Lock()
	m.mu.salts.recs[id].quota, m.mu.salts.recs[id].limited = 4*4096, true
	m.mu.Unlock()
	if err := errors.Join(m.Check(), m.SetQuota(time.Now(), "", 2*4096), m.Check()); err != nil {
		t.Error(err)
	}
	if s := m.Stats(); s.Objects != 2 || !m.DeleteQuota("") {
		t.Errorf("%+v", s)
	}
	if err := errors.Join(m.Check(), m.Close()); err != nil {
		t.Error(err)
	}
}
