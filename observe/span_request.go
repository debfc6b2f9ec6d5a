package observe

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/lmcache-go/lmcache"
)

// The state machine of "request". START and END of an operation are published when
// the device is done, so they may come after the end of the request: the root then
// stays open while something is pending, and ends at the time at which the request
// ended. A START that comes even later hangs below the root that is closed already.

func (s *SpanSubscriber) requestStarted(session, traceparent string, at time.Time) {
	ss := s.spans.session(session, at)
	if ss.root != nil {
		return
	}
	if ss.rooted { // a new request under the id of one that has ended
		ss.ended = false
	}
	s.spans.openRoot(ss, parentOf(traceparent), at)
}

// parentOf reads a W3C traceparent. One that cannot be read counts as none.
func parentOf(traceparent string) trace.SpanContext {
	if traceparent == "" {
		return trace.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(background(), propagation.MapCarrier{"traceparent": traceparent})
	return trace.SpanContextFromContext(ctx)
}

// start opens a child, and the root if the session has had none: nothing was
// looked up, or the start of the request was lost. Inside a blended request the
// child hangs below that instead.
func (s *SpanSubscriber) start(session string, k childKey, at time.Time, attrs []attribute.KeyValue) {
	ss := s.spans.session(session, at)
	parent := ss.parent
	if !ss.rooted {
		if parent = s.spans.registry.root(session, spanBlendRequest); !parent.IsValid() {
			began := at
			if ss.ended && ss.end.Before(at) { // the root ends at ss.end, and no span ends before it starts
				began = ss.end
			}
			s.spans.openRoot(ss, trace.SpanContext{}, began)
			parent = ss.parent
		}
	}
	s.spans.openChild(ss, parent, k, at, attrs)
}

// finish closes a child, and what only waited for it.
func (s *SpanSubscriber) finish(session string, k childKey, at time.Time, failure string, attrs []attribute.KeyValue) {
	if ss := s.spans.finish(session, k, at, failure, attrs); ss != nil {
		s.spans.settle(ss, ss.end)
	}
}

func (s *SpanSubscriber) lookupEnded(e lmcache.LookupEnded, at time.Time) {
	ss := s.spans.finish(e.SessionID, childKey{kind: spanLookup}, at, "", lookupEndAttributes(&e))
	if ss == nil {
		return
	}
	if ss.root != nil {
		ss.root.SetAttributes(append(hitAttributes(e.HitTokens, e.RequestedTokens), tierAttributes(&e)...)...)
	}
	s.spans.settle(ss, ss.end)
}

func (s *SpanSubscriber) lookupAbandoned(e lmcache.LookupAbandoned, at time.Time) {
	attrs := []attribute.KeyValue{textAttribute("reason", e.Reason)}
	s.finish(e.SessionID, childKey{kind: spanLookup}, at, "abandoned: "+e.Reason, attrs)
}

func (s *SpanSubscriber) storeEnded(e lmcache.StoreEnded, at time.Time) {
	var failure string
	if !e.Success {
		failure = "the store failed"
	}
	s.finish(e.SessionID, childKey{spanStore, e.Device, e.OpID}, at, failure, storeEndAttributes(&e))
}

func (s *SpanSubscriber) retrieveEnded(e lmcache.RetrieveEnded, at time.Time) {
	var failure string
	switch ss, ok := s.spans.sessions.get(e.SessionID); {
	case !e.Success:
		failure = "the retrieve failed"
	case e.RetrievedCount == 0 && ok && ss.pending[spanRetrieve] > 0:
		failure = "nothing was retrieved"
	}
	s.finish(e.SessionID, childKey{spanRetrieve, e.Device, e.OpID}, at, failure, retrieveEndAttributes(&e))
}

// requestEnded ends the root, or remembers when to end it. Without anything open
// or pending it only forgets.
func (s *SpanSubscriber) requestEnded(session string, at time.Time) {
	if ss := s.spans.find(session, at); ss != nil {
		ss.ended, ss.end = true, at
		s.spans.settle(ss, at)
	}
}
