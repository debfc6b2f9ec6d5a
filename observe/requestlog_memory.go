package observe

// remembered is what the request log knows of a session before its receipt comes.
type remembered struct {
	traceID string
	evicted int // keys
}

// sessionMemory remembers sessions until they end. Those that never end must not make
// it grow: it has two halves, and when the young one is full the old one is forgotten.
type sessionMemory struct {
	half       int
	young, old map[string]*remembered
}

func newSessionMemory(sessions int) sessionMemory {
	return sessionMemory{half: max(sessions/2, 1), young: make(map[string]*remembered), old: make(map[string]*remembered)}
}

// get is the entry of a session, made if need be, and how many others were forgotten
// to make room.
func (m *sessionMemory) get(session string) (s *remembered, forgotten int) {
	if s = m.young[session]; s != nil {
		return s, 0
	}
	if s = m.old[session]; s != nil {
		delete(m.old, session)
	} else {
		s = &remembered{}
	}
	if len(m.young) >= m.half {
		forgotten = len(m.old)
		m.young, m.old = m.old, m.young
		clear(m.young)
	}
	m.young[session] = s
	return s, forgotten
}

// take forgets a session that has ended and returns what was known of it.
func (m *sessionMemory) take(session string) remembered {
	s := m.young[session]
	if s == nil {
		if s = m.old[session]; s == nil {
			return remembered{}
		}
	}
	delete(m.young, session)
	delete(m.old, session)
	return *s
}
