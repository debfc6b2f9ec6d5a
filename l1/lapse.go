package l1

import (
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Lapse tells of a reservation whose time was over before its writer finished. The
// lists are immutable.
type Lapse struct {
	Tag   int64     // of its WriteOptions
	Keys  []kv.Key  // all that were asked for
	Lost  []kv.Key  // those of them whose staging is gone, in the same order
	Began time.Time // when it was made
	At    time.Time // when it ended
}

// Lapse ends the reservations whose time is over at a moment, which would otherwise
// happen little by little, and tells Options.Lapsed of those that have not been told
// of. Without that function it does nothing.
func (m *Manager) Lapse(at time.Time) {
	if m.o.Lapsed == nil {
		return
	}
	m.mu.Lock()
	for !m.mu.closed {
		l := m.mu.writes.head
		if l == nil || !l.dead(at) {
			break
		}
		if at.After(m.mu.now) {
			m.mu.now = at
		}
		m.expireLocked(l, maxHold)
		m.mu.Unlock()
		m.mu.Lock()
	}
	list := m.takeLapsesLocked()
	m.mu.Unlock()
	m.tell(list)
}

// lapseLocked has the loss of keys of a lease told.
func (m *Manager) lapseLocked(l *lease, lost []kv.Key, at time.Time) {
	if l.tag != 0 && m.o.Lapsed != nil && len(lost) > 0 {
		m.mu.lapses = append(m.mu.lapses, Lapse{Tag: l.tag, Keys: l.keys, Lost: lost, Began: l.began, At: at})
	}
}

func (m *Manager) takeLapsesLocked() []Lapse {
	list := m.mu.lapses
	m.mu.lapses = nil
	return list
}

// tell hands lapses out, without the mutex.
func (m *Manager) tell(list []Lapse) {
	for _, l := range list {
		m.mu.mustBeFree("telling of a lapse")
		m.o.Lapsed(l)
	}
}
