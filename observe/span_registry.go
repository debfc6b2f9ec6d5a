package observe

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// SpanRegistry knows the spans of sessions: those that are open, and the roots of the
// last 10,000 sessions whose root has ended. The span subscribers of one bus share it
// and fill it; logs and metrics ask it which trace something belongs to. It holds as
// many open spans as its subscribers do, and no more.
//
// Its methods are safe for concurrent use; they take a mutex for a look into a map. A
// nil SpanRegistry knows nothing.
type SpanRegistry struct {
	mu struct {
		sync.Mutex
		open  map[string]*sessionSpans
		ended ordered[endedRoot]
	}
}

// endedRoot is a root that has ended, or was still of use, at a time.
type endedRoot struct {
	context trace.SpanContext
	at      time.Time
}

// sessionSpans are the open spans of one session, oldest first.
type sessionSpans struct{ list []openSpan }

type openSpan struct {
	kind    spanKind
	context trace.SpanContext
}

// NewSpanRegistry returns one that is empty.
func NewSpanRegistry() *SpanRegistry {
	r := &SpanRegistry{}
	r.mu.open = make(map[string]*sessionSpans)
	return r
}

// SpanContext returns the context of the oldest open span of a session: name is
// "request", "lookup_prefetch", "retrieve", "store", "cb.request", "cb.lookup",
// "cb.retrieve", "cb.store_pre_computed" or "cb.store_final". If there is none it is
// that of the session's root, also after the root has ended, and invalid if the session
// is not known. With it another subscriber nests its spans below these.
func (r *SpanRegistry) SpanContext(session, name string) trace.SpanContext {
	if r == nil {
		return trace.SpanContext{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	session = validText(session)
	if s := r.mu.open[session]; s != nil {
		for _, o := range s.list {
			if o.kind.String() == name {
				return o.context
			}
		}
	}
	return r.rootLocked(session)
}

// Root returns the context of a session's root: "request", else "cb.request", else the
// one that has ended last. It is invalid if the session is not known.
func (r *SpanRegistry) Root(session string) trace.SpanContext {
	if r == nil {
		return trace.SpanContext{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	session = validText(session)
	return r.rootLocked(session)
}

func (r *SpanRegistry) rootLocked(session string) trace.SpanContext {
	if s := r.mu.open[session]; s != nil {
		for _, kind := range [...]spanKind{spanRequest, spanBlendRequest} {
			if root := s.first(kind); root.IsValid() {
				return root
			}
		}
	}
	root, _ := r.mu.ended.get(session)
	return root.context
}

// within is the context of a session's root for what records its context: that of
// nothing if the session has none.
func (r *SpanRegistry) within(session string) context.Context {
	if r == nil || session == "" {
		return background()
	}
	root := r.Root(session)
	if !root.IsValid() {
		return background()
	}
	return trace.ContextWithSpanContext(background(), root)
}

// root is the context of a session's open root of one kind; invalid if there is none.
func (r *SpanRegistry) root(session string, kind spanKind) trace.SpanContext {
	r.mu.Lock()
	defer r.mu.Unlock()
	session = validText(session)
	if s := r.mu.open[session]; s != nil {
		return s.first(kind)
	}
	return trace.SpanContext{}
}

func (s *sessionSpans) first(kind spanKind) trace.SpanContext {
	for _, o := range s.list {
		if o.kind == kind {
			return o.context
		}
	}
	return trace.SpanContext{}
}

// ended is the root of a session that has ended last.
func (r *SpanRegistry) ended(session string) (root trace.SpanContext, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	session = validText(session)
	e, ok := r.mu.ended.get(session)
	return e.context, ok
}

// opened takes up a span.
func (r *SpanRegistry) opened(session string, kind spanKind, sc trace.SpanContext) {
	r.mu.Lock()
	defer r.mu.Unlock()
	session = validText(session)
	s := r.mu.open[session]
	if s == nil {
		s = &sessionSpans{}
		r.mu.open[session] = s
	}
	s.list = append(s.list, openSpan{kind, sc})
}

// closed forgets a span that has ended. A root is remembered, for which another one may
// be forgotten; early reports that something may still have come for that one.
func (r *SpanRegistry) closed(session string, kind spanKind, sc trace.SpanContext, at time.Time) (early bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	session = validText(session)
	if s := r.mu.open[session]; s != nil {
		i := slices.IndexFunc(s.list, func(o openSpan) bool { return o.kind == kind && o.context.Equal(sc) })
		if i >= 0 {
			s.list = slices.Delete(s.list, i, i+1)
		}
		if len(s.list) == 0 {
			delete(r.mu.open, session)
		}
	}
	return (kind == spanRequest || kind == spanBlendRequest) && r.rememberLocked(session, endedRoot{sc, at})
}

// remember keeps a root that has ended for what comes late, or keeps it longer.
func (r *SpanRegistry) remember(session string, root trace.SpanContext, at time.Time) (early bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	session = validText(session)
	return r.rememberLocked(session, endedRoot{root, at})
}

func (r *SpanRegistry) rememberLocked(session string, root endedRoot) (early bool) {
	r.mu.ended.put(session, root)
	if r.mu.ended.len() <= maxSpanSessions {
		return false
	}
	id, old := r.mu.ended.oldest()
	r.mu.ended.remove(id)
	return root.at.Sub(old.at) < MaxPendingAge
}
