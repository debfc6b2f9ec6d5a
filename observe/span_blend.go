package observe

import (
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// BlendSpanSubscriber turns the events of CacheBlend into traces: a root span
// "cb.request" per blended request, and below it a span for each lookup, retrieve and
// store, and one without duration for fingerprints that were registered or removed.
// With the SpanSubscriber's registry, what an engine does inside of a blended request
// is part of its trace too.
//
// The root ends with its request; if work on a device has not ended then, or the
// request has retrieved and its final store is still to come, with the last of that.
// What comes without a root is a trace of its own.
//
// It works alone, and with the same limits and counts as a SpanSubscriber.
type BlendSpanSubscriber struct{ spans *spanSessions }

// NewBlendSpanSubscriber returns a subscriber whose spans come from tp.
func NewBlendSpanSubscriber(tp trace.TracerProvider, o SpanOptions) (*BlendSpanSubscriber, error) {
	spans, err := newSpanSessions(spanBlendRequest, blendSpanTracer, tp, o)
	if err != nil {
		return nil, err
	}
	return &BlendSpanSubscriber{spans}, nil
}

// Name is the name of the type.
func (*BlendSpanSubscriber) Name() string { return "BlendSpanSubscriber" }

// Subscribe asks for the events.
func (s *BlendSpanSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e lmcache.BlendRequestStarted, at time.Time) { s.requestStarted(e.SessionID, at) })
	eventbus.On(sub, func(e lmcache.BlendRequestEnded, at time.Time) { s.requestEnded(e.SessionID, at) })
	eventbus.On(sub, func(e lmcache.BlendLookupStarted, at time.Time) {
		s.start(e.SessionID, childKey{kind: spanBlendLookup}, at, attribute.Int("num_tokens", e.NumTokens))
	})
	eventbus.On(sub, s.lookupEnded)
	eventbus.On(sub, func(e lmcache.BlendRetrieveSubmitted, at time.Time) {
		s.spans.submitted(e.SessionID, spanBlendRetrieve, at).waiting = true
	})
	eventbus.On(sub, func(e lmcache.BlendStorePreComputedSubmitted, at time.Time) {
		s.spans.submitted(e.SessionID, spanBlendPreComputed, at)
	})
	eventbus.On(sub, func(e lmcache.BlendStoreFinalSubmitted, at time.Time) {
		s.spans.submitted(e.SessionID, spanBlendFinal, at).waiting = false
	})
	s.subscribeDevice(sub)
	eventbus.On(sub, func(e lmcache.BlendFingerprintsRegistered, at time.Time) {
		s.instant(e.SessionID, e.EventName(), at, attribute.Int("num_chunks", e.NumChunks), attribute.Int("num_tokens", e.NumTokens))
	})
	eventbus.On(sub, func(e lmcache.BlendChunksEvicted, at time.Time) {
		s.instant(e.SessionID, e.EventName(), at, attribute.Int("num_chunks", e.NumChunks))
	})
	sub.Every(spanSweepInterval, s.spans.sweep)
}

// subscribeDevice asks for what has the times of a device.
func (s *BlendSpanSubscriber) subscribeDevice(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e lmcache.BlendRetrieveStarted, at time.Time) {
		s.start(e.SessionID, blendKey(spanBlendRetrieve, e.InstanceID), at,
			attribute.Int64("instance_id", e.InstanceID), attribute.Int("num_chunks", e.NumChunks))
	})
	eventbus.On(sub, func(e lmcache.BlendRetrieveEnded, at time.Time) {
		s.finish(e.SessionID, blendKey(spanBlendRetrieve, e.InstanceID), at, e.Success,
			attribute.Int64("instance_id", e.InstanceID), attribute.Int("num_chunks", e.NumChunks))
	})
	eventbus.On(sub, func(e lmcache.BlendStorePreComputedStarted, at time.Time) {
		s.start(e.SessionID, blendKey(spanBlendPreComputed, e.InstanceID), at,
			attribute.Int64("instance_id", e.InstanceID), attribute.Int("num_tokens", e.NumTokens))
	})
	eventbus.On(sub, func(e lmcache.BlendStorePreComputedEnded, at time.Time) {
		s.finish(e.SessionID, blendKey(spanBlendPreComputed, e.InstanceID), at, e.Success,
			attribute.Int64("instance_id", e.InstanceID), attribute.Int("num_tokens", e.NumTokens), attribute.Int("stored_chunks", e.StoredChunks))
	})
	eventbus.On(sub, func(e lmcache.BlendStoreFinalStarted, at time.Time) {
		s.start(e.SessionID, blendKey(spanBlendFinal, e.InstanceID), at,
			attribute.Int64("instance_id", e.InstanceID), attribute.Int("num_tokens", e.NumTokens))
	})
	eventbus.On(sub, func(e lmcache.BlendStoreFinalEnded, at time.Time) {
		s.finish(e.SessionID, blendKey(spanBlendFinal, e.InstanceID), at, e.Success,
			attribute.Int64("instance_id", e.InstanceID), attribute.Int("num_tokens", e.NumTokens), attribute.Int("stored_chunks", e.StoredChunks))
	})
}

// Close gives up everything that is open. It is idempotent and never fails.
func (s *BlendSpanSubscriber) Close() error {
	s.spans.shut()
	return nil
}

// Stats returns the counts. It is safe for concurrent use.
func (s *BlendSpanSubscriber) Stats() SpanStats { return s.spans.stats(spanBlendFinal) }

// blendKey tells the operations of several hosts in one session apart.
func blendKey(k spanKind, instance int64) childKey {
	return childKey{kind: k, device: strconv.FormatInt(instance, 10)}
}

func (s *BlendSpanSubscriber) requestStarted(session string, at time.Time) {
	ss := s.spans.session(session, at)
	if ss.root != nil {
		s.spans.log.Warn(fmt.Sprintf("CB_REQUEST_START fired twice for session=%s; ignoring", session), slog.String("session", session))
		return
	}
	if ss.rooted { // a new request under the id of one that has ended
		ss.ended = false
	}
	s.spans.openRoot(ss, trace.SpanContext{}, at)
}

// requestEnded ends the root, or remembers that it is to end with what is pending.
func (s *BlendSpanSubscriber) requestEnded(session string, at time.Time) {
	if ss := s.spans.find(session, at); ss != nil {
		ss.ended, ss.end = true, at
		s.spans.settle(ss, at)
	}
}

// start opens a child below the root, be it open or closed; without one it is a root.
func (s *BlendSpanSubscriber) start(session string, k childKey, at time.Time, attrs ...attribute.KeyValue) {
	ss := s.spans.session(session, at)
	s.spans.openChild(ss, ss.parent, k, at, attrs)
}

// finish closes the child of work on a device, with which the root may end.
func (s *BlendSpanSubscriber) finish(session string, k childKey, at time.Time, success bool, attrs ...attribute.KeyValue) {
	var failure string
	if !success {
		failure = "it failed"
	}
	if ss := s.spans.finish(session, k, at, failure, append(attrs, attribute.Bool("success", success))); ss != nil {
		s.spans.settle(ss, at)
	}
}

func (s *BlendSpanSubscriber) lookupEnded(e lmcache.BlendLookupEnded, at time.Time) {
	hits := hitAttributes(e.HitTokens, e.RequestedTokens)
	ss := s.spans.finish(e.SessionID, childKey{kind: spanBlendLookup}, at, "", []attribute.KeyValue{
		attribute.Int("num_tokens", e.NumTokens), attribute.Int("requested_tokens", e.RequestedTokens), attribute.Int("hit_tokens", e.HitTokens),
		attribute.Int("fingerprint_hits", e.FingerprintHits), attribute.Int("storage_hits", e.StorageHits),
		attribute.Int("stale_chunks", e.StaleChunks), attribute.Bool("no_gpu_context", e.NoGPUContext),
	})
	if ss == nil {
		return
	}
	if ss.root != nil {
		ss.root.SetAttributes(hits...)
	}
	s.spans.settle(ss, ss.end)
}

// instant is a span without duration: something that happened.
func (s *BlendSpanSubscriber) instant(session, name string, at time.Time, attrs ...attribute.KeyValue) {
	parent, _ := s.spans.registry.ended(session)
	if ss := s.spans.find(session, at); ss != nil {
		parent = ss.parent
	}
	ctx := trace.ContextWithSpanContext(background(), parent)
	_, span := s.spans.tracer.Start(ctx, name, trace.WithTimestamp(at), trace.WithAttributes(textAttribute("session_id", session)), trace.WithAttributes(attrs...))
	span.End(trace.WithTimestamp(at))
}
