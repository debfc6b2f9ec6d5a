package observe

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/lmcache-go/lmcache"
)

// The state machine of "request". START and END of an operation are published when
// the device is done, so they may come after the end of the request: the root then
// stays open while something is pending, and ends at the time at which the request
// ended. A START that comes even later hangs below the root that is closed already.

func (s *SpanSubscriber) requestStarted(session, traceparent string, at time.Time) {
	ss := s.session(session, at)
	if ss.root != nil {
		return
	}
	if ss.rooted { // a new request under the id of one that has ended
		ss.ended = false
	}
	s.openRoot(ss, traceparent, at)
}

// openRoot opens the root of ss. A traceparent that cannot be read counts as none.
func (s *SpanSubscriber) openRoot(ss *spanSession, traceparent string, at time.Time) {
	ctx := background()
	opts := []trace.SpanStartOption{trace.WithTimestamp(at), trace.WithAttributes(textAttribute("session_id", ss.id))}
	if traceparent != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
	}
	if !trace.SpanContextFromContext(ctx).IsValid() {
		opts = append(opts, trace.WithNewRoot())
	}
	_, root := s.tracer.Start(ctx, spanRequest.span(), opts...)
	s.open.Add(1)
	ss.root, ss.rooted, ss.parent, ss.began = root, true, root.SpanContext(), at
}

func (s *SpanSubscriber) submitted(session string, k spanKind, at time.Time) {
	s.session(session, at).pending[k]++
}

// start opens a child, and the root if the session has had none: nothing was
// looked up, or the start of the request was lost.
func (s *SpanSubscriber) start(session string, k childKey, at time.Time, attrs []attribute.KeyValue) {
	ss := s.session(session, at)
	if !ss.rooted {
		began := at
		if ss.ended && ss.end.Before(at) { // the root ends at ss.end, and no span ends before it starts
			began = ss.end
		}
		s.openRoot(ss, "", began)
	}
	ctx := trace.ContextWithSpanContext(background(), ss.parent)
	_, span := s.tracer.Start(ctx, k.kind.span(), trace.WithTimestamp(at), trace.WithAttributes(textAttribute("session_id", ss.id)), trace.WithAttributes(attrs...))
	s.open.Add(1)
	ss.open = append(ss.open, childSpan{key: k, span: span, start: at})
	if len(ss.open) > maxSessionChildren {
		first := ss.open[0]
		ss.open = slices.Delete(ss.open, 0, 1)
		s.overfull.Add(1)
		s.leak(first.key.kind, first.span, first.start)
	}
}

// finish closes the oldest child of k, if there is one, with an error if failure
// is not empty. It returns the session; nil if it is not known.
func (s *SpanSubscriber) finish(session string, k childKey, at time.Time, failure string, attrs []attribute.KeyValue) *spanSession {
	s.latest = later(s.latest, at)
	ss, ok := s.sessions.get(session)
	if !ok {
		s.noMatch(k.kind, session)
		return nil
	}
	ss.seen = later(ss.seen, at)
	s.sessions.touch(session)
	ss.done(k.kind)
	c, ok := ss.take(k)
	if !ok {
		s.noMatch(k.kind, session)
		return ss
	}
	s.open.Add(-1)
	c.span.SetAttributes(attrs...)
	if failure != "" {
		c.span.SetStatus(codes.Error, failure)
	}
	c.span.End(trace.WithTimestamp(later(at, c.start)))
	return ss
}

func (s *SpanSubscriber) noMatch(k spanKind, session string) {
	if s.log.Enabled(background(), slog.LevelDebug) {
		s.log.Debug(fmt.Sprintf("No pending span for %s session=%s", k.span(), session))
	}
}

func (s *SpanSubscriber) lookupEnded(e lmcache.LookupEnded, at time.Time) {
	ss := s.finish(e.SessionID, childKey{kind: spanLookup}, at, "", lookupEndAttributes(&e))
	if ss == nil {
		return
	}
	if ss.root != nil {
		ss.root.SetAttributes(hitAttributes(&e)...)
	}
	s.settle(ss)
}

func (s *SpanSubscriber) lookupAbandoned(e lmcache.LookupAbandoned, at time.Time) {
	attrs := []attribute.KeyValue{textAttribute("reason", e.Reason)}
	if ss := s.finish(e.SessionID, childKey{kind: spanLookup}, at, "abandoned: "+e.Reason, attrs); ss != nil {
		s.settle(ss)
	}
}

func (s *SpanSubscriber) storeEnded(e lmcache.StoreEnded, at time.Time) {
	var failure string
	if !e.Success {
		failure = "the store failed"
	}
	if ss := s.finish(e.SessionID, childKey{spanStore, e.Device, e.OpID}, at, failure, storeEndAttributes(&e)); ss != nil {
		s.settle(ss)
	}
}

func (s *SpanSubscriber) retrieveEnded(e lmcache.RetrieveEnded, at time.Time) {
	var failure string
	switch ss, ok := s.sessions.get(e.SessionID); {
	case !e.Success:
		failure = "the retrieve failed"
	case e.RetrievedCount == 0 && ok && ss.pending[spanRetrieve] > 0:
		failure = "nothing was retrieved"
	}
	if ss := s.finish(e.SessionID, childKey{spanRetrieve, e.Device, e.OpID}, at, failure, retrieveEndAttributes(&e)); ss != nil {
		s.settle(ss)
	}
}

// requestEnded ends the root, or remembers when to end it. Without anything open
// or pending it only forgets.
func (s *SpanSubscriber) requestEnded(session string, at time.Time) {
	s.latest = later(s.latest, at)
	ss, ok := s.sessions.get(session)
	if !ok {
		return
	}
	ss.seen = later(ss.seen, at)
	s.sessions.touch(session)
	ss.ended, ss.end = true, at
	s.settle(ss)
}
