package observe

import (
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// spanSessions are the sessions of one span subscriber with what is open of them. It
// belongs to the bus's dispatcher; only stats may be called from elsewhere.
type spanSessions struct {
	root     spanKind // of each session
	tracer   trace.Tracer
	log      *slog.Logger
	maxAge   time.Duration
	registry *SpanRegistry
	sessions ordered[*spanSession]
	latest   time.Time // of all events and sweeps: when something is given up

	leaked   [spanKinds]atomic.Uint64
	pushed   atomic.Uint64
	overfull atomic.Uint64
	closed   atomic.Uint64 // roots that the registry forgot early for those of this subscriber
	open     atomic.Int64
}

func newSpanSessions(root spanKind, tracer string, tp trace.TracerProvider, o SpanOptions) (*spanSessions, error) {
	if tp == nil {
		return nil, errNoTracerProvider
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.MaxAge == 0 {
		o.MaxAge = DefaultSpanMaxAge
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = NewSpanRegistry()
	}
	return &spanSessions{root: root, tracer: tp.Tracer(tracer), log: o.Logger, maxAge: o.MaxAge, registry: o.Registry}, nil
}

// find returns the state of a session that is known, and that it has an event at the
// time at; else nil.
func (s *spanSessions) find(id string, at time.Time) *spanSession {
	s.latest = later(s.latest, at)
	ss, ok := s.sessions.get(id)
	if !ok {
		return nil
	}
	ss.seen = later(ss.seen, at)
	s.sessions.touch(id)
	return ss
}

// session finds or makes the state of a session that has an event at the time at.
func (s *spanSessions) session(id string, at time.Time) *spanSession {
	if ss := s.find(id, at); ss != nil {
		return ss
	}
	ss := &spanSession{id: id, seen: at}
	ss.parent, ss.rooted = s.registry.ended(id)
	for s.sessions.len() >= maxSpanSessions {
		_, old := s.sessions.oldest()
		s.pushed.Add(1)
		s.giveUp(old)
	}
	s.sessions.put(id, ss)
	return ss
}

// openRoot opens the root of ss. ctx may hold a parent.
func (s *spanSessions) openRoot(ss *spanSession, parent trace.SpanContext, at time.Time) {
	opts := []trace.SpanStartOption{trace.WithTimestamp(at), trace.WithAttributes(textAttribute("session_id", ss.id))}
	ctx := background()
	if parent.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	} else {
		opts = append(opts, trace.WithNewRoot())
	}
	_, root := s.tracer.Start(ctx, s.root.span(), opts...)
	s.open.Add(1)
	ss.root, ss.rooted, ss.parent, ss.began = root, true, root.SpanContext(), at
	s.registry.opened(ss.id, s.root, ss.parent)
}

// openChild opens a span below parent, or one without if parent is not valid.
func (s *spanSessions) openChild(ss *spanSession, parent trace.SpanContext, k childKey, at time.Time, attrs []attribute.KeyValue) {
	ctx := trace.ContextWithSpanContext(background(), parent)
	_, span := s.tracer.Start(ctx, k.kind.span(), trace.WithTimestamp(at), trace.WithAttributes(textAttribute("session_id", ss.id)), trace.WithAttributes(attrs...))
	s.open.Add(1)
	s.registry.opened(ss.id, k.kind, span.SpanContext())
	ss.open = append(ss.open, childSpan{key: k, span: span, start: at})
	if len(ss.open) > maxSessionChildren {
		first := ss.open[0]
		ss.open = slices.Delete(ss.open, 0, 1)
		s.overfull.Add(1)
		s.leak(ss, first.key.kind, first.span, first.start)
	}
}

// submitted counts an operation whose end a session waits for.
func (s *spanSessions) submitted(session string, k spanKind, at time.Time) *spanSession {
	ss := s.session(session, at)
	if p, ok := k.pendingAs(); ok {
		ss.pending[p]++
	}
	return ss
}

// finish closes the oldest child of k, if there is one, with an error if failure
// is not empty. It returns the session; nil if it is not known.
func (s *spanSessions) finish(session string, k childKey, at time.Time, failure string, attrs []attribute.KeyValue) *spanSession {
	ss := s.find(session, at)
	if ss == nil {
		s.noMatch(k.kind, session)
		return nil
	}
	ss.done(k.kind)
	c, ok := ss.take(k)
	if !ok {
		s.noMatch(k.kind, session)
		return ss
	}
	s.open.Add(-1)
	s.close(session, k.kind, c.span.SpanContext())
	c.span.SetAttributes(attrs...)
	if failure != "" {
		c.span.SetStatus(codes.Error, failure)
	}
	c.span.End(trace.WithTimestamp(later(at, c.start)))
	return ss
}

func (s *spanSessions) noMatch(k spanKind, session string) {
	if s.log.Enabled(background(), slog.LevelDebug) {
		s.log.Debug(fmt.Sprintf("No pending span for %s session=%s", k.span(), session), slog.String("session", session))
	}
}

// settle ends the root at the time at if its request has ended and nothing is pending,
// and forgets the session if nothing is left of it.
func (s *spanSessions) settle(ss *spanSession, at time.Time) {
	if ss.isPending() {
		return
	}
	if ss.root != nil && ss.ended {
		s.endRoot(ss, at)
	}
	if ss.root == nil && len(ss.open) == 0 {
		s.forget(ss)
	}
}

func (s *spanSessions) endRoot(ss *spanSession, at time.Time) {
	root := ss.root
	ss.root = nil
	s.open.Add(-1)
	s.close(ss.id, s.root, ss.parent)
	root.End(trace.WithTimestamp(later(at, ss.began)))
}

// forget drops the state of a session of which nothing is open. Its root is
// remembered for what comes late.
func (s *spanSessions) forget(ss *spanSession) {
	s.sessions.remove(ss.id)
	if ss.rooted && s.registry.remember(ss.id, ss.parent, s.latest) {
		s.closed.Add(1)
	}
}

// close tells the registry that a span ends.
func (s *spanSessions) close(session string, kind spanKind, sc trace.SpanContext) {
	if s.registry.closed(session, kind, sc, s.latest) {
		s.closed.Add(1)
	}
}

// giveUp ends everything of a session.
func (s *spanSessions) giveUp(ss *spanSession) {
	open := ss.open
	ss.open = nil
	for _, c := range open {
		s.leak(ss, c.key.kind, c.span, c.start)
	}
	if ss.root != nil {
		root := ss.root
		ss.root = nil
		s.leak(ss, s.root, root, ss.began)
	}
	s.forget(ss)
}

// leak ends a span whose end never came.
func (s *spanSessions) leak(ss *spanSession, k spanKind, span trace.Span, start time.Time) {
	s.leaked[k].Add(1)
	s.open.Add(-1)
	s.close(ss.id, k, span.SpanContext())
	span.SetAttributes(attribute.Bool("lmcache.span.leaked", true))
	span.SetStatus(codes.Error, "its end was never seen")
	span.End(trace.WithTimestamp(later(s.latest, start)))
}

// sweep gives up what is too old.
func (s *spanSessions) sweep(now time.Time) {
	s.latest = later(s.latest, now)
	for ss := range s.sessions.all() {
		if now.Sub(ss.seen) >= s.maxAge {
			s.giveUp(ss)
			continue
		}
		s.sweepChildren(ss, now)
	}
}

func (s *spanSessions) sweepChildren(ss *spanSession, now time.Time) {
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
		s.leak(ss, c.key.kind, c.span, c.start)
	}
	s.settle(ss, ss.end)
}

// shut gives up everything that is open.
func (s *spanSessions) shut() {
	for ss := range s.sessions.all() {
		s.giveUp(ss)
	}
}

// stats are the counts, of the kinds from the root up to last.
func (s *spanSessions) stats(last spanKind) SpanStats {
	st := SpanStats{
		Open: int(s.open.Load()), Leaked: make(map[string]uint64, last-s.root+1), PushedOut: s.pushed.Load(), ChildrenPushed: s.overfull.Load(),
		ClosedForgotten: s.closed.Load(),
	}
	for k := s.root; k <= last; k++ {
		st.Leaked[k.String()] = s.leaked[k].Load()
	}
	return st
}
