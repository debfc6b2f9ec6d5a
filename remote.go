package lmcache

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// OpenSession is the session of a remote request that looks up: the one that is
// open under its id, or a new one. Sessions of one id that differ in model, world
// size or salt know nothing of each other; they end together.
func (e *Engine) OpenSession(r Request) *Session {
	return e.named(r, true)
}

// SessionFor is OpenSession for every other operation that needs a session. If the
// request ended a moment ago, or is no valid one, the session is one of its own
// that goes with the operation and publishes nothing of its end: whoever gets a
// session calls done when the operation is over.
func (e *Engine) SessionFor(r Request) (s *Session, done func()) {
	s = e.named(r, false)
	if s.quiet && !s.shared {
		return s, func() { _ = s.Close() } // only the touch can fail
	}
	return s, func() {}
}

// named is the session of a request's id, opened if need be, or one that nobody else
// knows. The id of a request that has ended opens a session again if it is to revive.
func (e *Engine) named(r Request, revive bool) *Session {
	now := e.sm.Now()
	s, victim := e.table.named(e, r, now, revive)
	if victim != nil {
		victim.abandon()
	}
	if s == nil {
		return e.private(r)
	}
	e.alarms.set(&s.alarm, now.Add(e.beat)) // it is set already, unless s is new
	return s
}

// private is a session outside of the table.
func (e *Engine) private(r Request) *Session {
	s := e.newSession(r)
	s.quiet, s.mu.closed = true, e.isClosed()
	return s
}

// FindSession is the session that is open under a remote request's id, with this
// model, world size and salt; nil: there is none. It creates none.
func (e *Engine) FindSession(r Request) *Session {
	e.table.mu.Lock()
	defer e.table.mu.Unlock()
	return e.table.findLocked(r)
}

// EndSession ends the sessions of a remote request. An id that is not known, or has
// ended before, is a warning and nothing else.
func (e *Engine) EndSession(id string) error {
	at := e.sm.Now()
	list := e.table.end(id, at)
	if len(list) == 0 {
		if e.topics.sessionEnding.Active() {
			e.topics.sessionEnding.PublishAt(SessionEnding{RequestID: id}, at)
		}
		e.log.Warn(fmt.Sprintf("Session %s not found, skipping touch", id), slog.String("session", id))
		return nil
	}
	var first error
	for _, s := range list {
		if err := s.Close(); first == nil {
			first = err
		}
	}
	return first
}

// named is the session of an id, opened if need be. It is nil if it must be a
// private one: the request is invalid, or, unless it may be revived, has ended a
// moment ago, or the engine is closed.
func (t *sessionTable) named(e *Engine, r Request, now time.Time, revive bool) (s, victim *Session) {
	if r.validate() != nil {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.findLocked(r); s != nil {
		if revive && r.Readers > 0 {
			s.readersWanted.Store(int32(min(r.Readers, maxReadersWanted)))
		}
		return s, nil
	}
	t.forgetLocked(now)
	if _, gone := t.mu.ended[r.ID]; gone && !revive {
		return nil, nil
	}
	delete(t.mu.ended, r.ID)
	s = e.newSession(r)
	s.shared, s.quiet = true, len(t.mu.ids[r.ID]) > 0
	victim, ok := t.addLocked(s, now)
	if !ok {
		return nil, nil
	}
	s.place.remote = true
	t.mu.ids[r.ID] = append(t.mu.ids[r.ID], s)
	return s, victim
}

func (t *sessionTable) findLocked(r Request) *Session {
	for _, s := range t.mu.ids[r.ID] {
		if s.r.Model == r.Model && s.r.WorldSize == r.WorldSize && s.r.Salt == r.Salt {
			return s
		}
	}
	return nil
}

// end is the sessions of an id, which from now on has ended.
func (t *sessionTable) end(id string, now time.Time) []*Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.mu.ids[id]
	if len(list) == 0 {
		return nil
	}
	for _, s := range list {
		s.place.remote = false // its removal leaves the id alone
	}
	delete(t.mu.ids, id)
	t.forgetLocked(now)
	t.mu.ended[id] = now
	t.mu.order = append(t.mu.order, id)
	return list
}

// forgetLocked drops the ids that ended too long ago, or are too many. An id that
// was revived and ended again stands in the order twice; the first one may take the
// second with it.
func (t *sessionTable) forgetLocked(now time.Time) {
	n := 0
	for _, id := range t.mu.order {
		at, known := t.mu.ended[id]
		if known && now.Sub(at) < t.memory && len(t.mu.order)-n < t.memories {
			break
		}
		delete(t.mu.ended, id)
		n++
	}
	t.mu.order = t.mu.order[n:]
}

// unnameLocked takes a session out of the ids.
func (t *sessionTable) unnameLocked(s *Session) {
	list := t.mu.ids[s.r.ID]
	rest := make([]*Session, 0, len(list))
	for _, o := range list {
		if o != s {
			rest = append(rest, o)
		}
	}
	if s.place.remote = false; len(rest) > 0 {
		t.mu.ids[s.r.ID] = rest
		return
	}
	delete(t.mu.ids, s.r.ID)
}

// Take is Chunks for a client that must get the result once: ok is false, and nothing
// is found, if it was delivered before.
func (m *Match) Take(ctx context.Context) (chunks int, ok bool, err error) {
	m.mu.Lock()
	gone := m.mu.delivered
	m.mu.Unlock()
	if gone {
		return 0, false, nil
	}
	n, err := m.deliver(ctx)
	if err != nil {
		return 0, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.taken || m.mu.void {
		return 0, false, nil
	}
	m.mu.taken = true
	return n, true, nil
}

// stranger is an instance that is not registered, for one rank.
type stranger struct {
	instance int64
	rank     int
}

// maxStrangers is how many a match remembers.
const maxStrangers = 256

// Forgo gives back, once, what a retrieve of the tokens [lo, hi) would have read if it
// did not come from an instance that is not registered. Like a retrieve it counts as
// asking for the result, for which it does not wait.
func (m *Match) Forgo(instance int64, rank, lo, hi int) {
	if m.pending() {
		return
	}
	_, _ = m.deliver(context.Background()) //nolint:forbidigo // does not wait
	size := m.s.e.o.ChunkTokens
	m.mu.Lock()
	from, to := max(lo, 0)/size, min(hi/size, m.mu.chunks)
	if m.mu.void || rank < 0 || rank >= m.key.world || from >= to {
		m.mu.Unlock()
		return
	}
	k := stranger{instance, rank}
	w := m.mu.strangers[k]
	if w == nil && len(m.mu.strangers) < maxStrangers {
		if m.mu.strangers == nil {
			m.mu.strangers = make(map[stranger]*member)
		}
		w = &member{e: m.s.e, key: m.key, rank: rank}
		m.mu.strangers[k] = w
	}
	m.mu.Unlock()
	if w != nil {
		m.refuse(context.Background(), w, from, to) //nolint:forbidigo // does not wait
	}
}
