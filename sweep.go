package lmcache

import (
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// jobTTL is how long a result waits for somebody who asks for it.
const jobTTL = 600 * time.Second

const reasonExpired = "expired"

// beatOf is the time between two looks at a session or a transfer: often enough
// that no lease of either can expire in between.
func beatOf(o Options) time.Duration {
	beat := min(o.L1.ReadTTL/3, o.L1.WriteTTL/3, jobTTL)
	if o.SessionTTL > 0 {
		beat = min(beat, o.SessionTTL)
	}
	return max(beat, time.Millisecond)
}

// use notes that somebody works with the session.
func (s *Session) use(now time.Time) { s.runs(now, 0) }

// runs notes that so many more of the session's transfers run.
func (s *Session) runs(now time.Time, more int) {
	if s.e.table.use(s, now, more) {
		s.e.alarms.set(&s.alarm, now.Add(s.e.beat))
	}
}

// ring looks after the session: it renews the leases of one that is open, drops a
// result that nobody asked for, and lets go of what one holds that is not used.
func (s *Session) ring(now time.Time) (next time.Time) {
	m := s.current()
	if m != nil && m.pending() {
		s.use(now)
	}
	state, change := s.e.table.judge(s, now)
	switch state {
	case forsaken:
		s.abandon()
		return time.Time{}
	case asleep:
		s.expire(m)
		return change
	}
	next = earlier(now.Add(s.e.beat), change)
	if m == nil {
		return next
	}
	due, over := m.overdue(now)
	if over {
		s.expire(m)
		return next
	}
	m.renew()
	return earlier(next, due)
}

// earlier is the earlier one of two times, of which the second may not be set.
func earlier(a, b time.Time) time.Time {
	if !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// expire drops a match, unless another one has replaced it.
func (s *Session) expire(m *Match) {
	if m == nil {
		return
	}
	s.mu.Lock()
	if s.mu.match == m {
		s.mu.match = nil
	}
	s.mu.Unlock()
	m.drop(reasonExpired)
}

// keepChain keeps the longer one of two chains. Chains of others that do not fit
// with it go.
func (s *Session) keepChain(next kv.Chain) {
	s.mu.Lock()
	var drop []*Session
	if !s.mu.chain.HasPrefix(next) && !s.mu.closed {
		s.mu.chain = next
		drop = s.e.table.keep(s, next.Bytes())
	}
	s.mu.Unlock()
	for _, other := range drop {
		other.forgetChain()
	}
}

// forgetChain drops the tokens and hashes: they are rebuilt when they are needed.
func (s *Session) forgetChain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.chain = kv.Chain{}
	s.e.table.keep(s, 0)
}
