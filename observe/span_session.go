package observe

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// spanKind is what a span stands for.
type spanKind uint8

const (
	spanRequest spanKind = iota
	spanLookup
	spanRetrieve
	spanStore
	spanKinds
)

// String is the logical name.
func (k spanKind) String() string {
	return [...]string{"request", "lookup_prefetch", "retrieve", "store"}[k]
}

// span is the name in a trace.
func (k spanKind) span() string {
	return [...]string{"request", "mp.lookup_prefetch", "mp.retrieve", "mp.store"}[k]
}

// childKey is what the start and the end of an operation have in common.
type childKey struct {
	kind       spanKind
	device, op string
}

// childSpan is an open span below a root.
type childSpan struct {
	key   childKey
	span  trace.Span
	start time.Time
}

// spanSession is what is open of one session.
//
// INVARIANT: rooted is set once a root was opened, and parent is then its context;
// root is nil before that and after the root has ended.
type spanSession struct {
	id      string
	rooted  bool
	parent  trace.SpanContext
	root    trace.Span
	began   time.Time
	open    []childSpan    // in order of their start
	pending [spanKinds]int // submitted stores and retrieves whose end has not come
	ended   bool           // the request has, at end
	end     time.Time
	seen    time.Time // the latest event
}

func (ss *spanSession) isPending() bool {
	return ss.pending[spanStore] > 0 || ss.pending[spanRetrieve] > 0
}

// take removes the oldest open child of k.
func (ss *spanSession) take(k childKey) (childSpan, bool) {
	for i, c := range ss.open {
		if c.key == k {
			ss.open = append(ss.open[:i], ss.open[i+1:]...)
			return c, true
		}
	}
	return childSpan{}, false
}

// session finds or makes the state of a session that has an event at the time at.
func (s *SpanSubscriber) session(id string, at time.Time) *spanSession {
	s.latest = later(s.latest, at)
	ss, ok := s.sessions.get(id)
	if ok {
		ss.seen = later(ss.seen, at)
		s.sessions.touch(id)
		return ss
	}
	ss = &spanSession{id: id, seen: at}
	ss.parent, ss.rooted = s.closed.get(id)
	for s.sessions.len() >= maxSpanSessions {
		_, old := s.sessions.oldest()
		s.pushed.Add(1)
		s.giveUp(old)
	}
	s.sessions.put(id, ss)
	return ss
}

// settle ends the root if its request has ended and nothing is pending, and
// forgets the session if nothing is left of it.
func (s *SpanSubscriber) settle(ss *spanSession) {
	if ss.isPending() {
		return
	}
	if ss.root != nil && ss.ended {
		s.endRoot(ss, ss.end)
	}
	if ss.root == nil && len(ss.open) == 0 {
		s.forget(ss)
	}
}

func (s *SpanSubscriber) endRoot(ss *spanSession, at time.Time) {
	root := ss.root
	ss.root = nil
	s.open.Add(-1)
	root.End(trace.WithTimestamp(later(at, ss.began)))
}

// forget drops the state of a session of which nothing is open. Its root is
// remembered for what comes late.
func (s *SpanSubscriber) forget(ss *spanSession) {
	s.sessions.remove(ss.id)
	if !ss.rooted {
		return
	}
	if s.closed.put(ss.id, ss.parent); s.closed.len() > maxSpanSessions {
		id, _ := s.closed.oldest()
		s.closed.remove(id)
	}
}

// giveUp ends everything of a session.
func (s *SpanSubscriber) giveUp(ss *spanSession) {
	open := ss.open
	ss.open = nil
	s.forget(ss)
	for _, c := range open {
		s.leak(c.key.kind, c.span, c.start)
	}
	if ss.root != nil {
		root := ss.root
		ss.root = nil
		s.leak(spanRequest, root, ss.began)
	}
}

// leak ends a span whose end never came.
func (s *SpanSubscriber) leak(k spanKind, span trace.Span, start time.Time) {
	s.leaked[k].Add(1)
	s.open.Add(-1)
	span.SetAttributes(attribute.Bool("lmcache.span.leaked", true))
	span.SetStatus(codes.Error, "its end was never seen")
	span.End(trace.WithTimestamp(later(s.latest, start)))
}

// sweep gives up what is too old.
func (s *SpanSubscriber) sweep(now time.Time) {
	s.latest = later(s.latest, now)
	for ss := range s.sessions.all() {
		if now.Sub(ss.seen) >= s.maxAge {
			s.giveUp(ss)
			continue
		}
		s.sweepChildren(ss, now)
	}
}

func (s *SpanSubscriber) sweepChildren(ss *spanSession, now time.Time) {
	var old []childSpan
	keep := ss.open[:0]
	for _, c := range ss.open {
		if now.Sub(c.start) >= spanChildMaxAge {
			old = append(old, c)
		} else {
			keep = append(keep, c)
		}
	}
	if len(old) == 0 {
		return
	}
	ss.open = keep
	for _, c := range old {
		ss.done(c.key.kind)
		s.leak(c.key.kind, c.span, c.start)
	}
	s.settle(ss)
}

// done takes one operation off those that are pending.
func (ss *spanSession) done(k spanKind) {
	if k != spanLookup && ss.pending[k] > 0 {
		ss.pending[k]--
	}
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
