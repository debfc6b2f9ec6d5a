package observe

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// Limits of a span subscriber.
const (
	DefaultSpanMaxAge = time.Hour // see SpanOptions.MaxAge

	spanChildMaxAge    = 900 * time.Second
	spanSweepInterval  = 10 * time.Second
	maxSpanSessions    = 10_000 // open sessions, and as many closed ones that late work still finds
	maxSessionChildren = 256    // open children of one session
)

// Instrumentation scopes of the spans.
const (
	spanTracer      = "lmcache_mp.server"
	blendSpanTracer = "lmcache_mp.blend"
)

var errNoTracerProvider = errors.New("observe: no tracer provider")

// SpanOptions configures a SpanSubscriber or a BlendSpanSubscriber. The zero value is
// valid.
type SpanOptions struct {
	MaxAge   time.Duration // a session without any event for so long is given up; 0: DefaultSpanMaxAge
	Logger   *slog.Logger  // gets what does not match, at DEBUG; nil: nowhere
	Registry *SpanRegistry // where others find the spans; subscribers of one bus share it; nil: one of its own
}

// Validate returns what is wrong with o, or nil.
func (o SpanOptions) Validate() error {
	if o.MaxAge < 0 {
		return fmt.Errorf("observe: span max age %v: must be above 0", o.MaxAge)
	}
	return nil
}

// SpanSubscribers makes the span subscribers, in the order in which they are
// registered, with one registry. Each of them also works alone, and has a method Stats.
func SpanSubscribers(tp trace.TracerProvider, o SpanOptions) ([]eventbus.Subscriber, error) {
	if o.Registry == nil {
		o.Registry = NewSpanRegistry()
	}
	requests, err := NewSpanSubscriber(tp, o)
	if err != nil {
		return nil, err
	}
	blend, err := NewBlendSpanSubscriber(tp, o)
	if err != nil {
		return nil, err
	}
	return []eventbus.Subscriber{requests, blend}, nil
}

// SpanSubscriber turns the events of a request into one trace: a root span
// "request" per session, and below it a span for each lookup, retrieve and store.
// Start and end are the times of the events, which for retrieves and stores are
// the device's, whenever the dispatcher saw them.
//
// It works alone on any bus, with the TracerProvider of the host:
//
//	spans, err := observe.NewSpanSubscriber(provider, observe.SpanOptions{})
//	_, err = bus.Subscribe(spans)
//
// Events may come in any order, and some of them never: a child is given up after
// 900 seconds, a root when its session has been silent for MaxAge or when more
// than 10,000 sessions are open, everything at Close. What is given up ends with
// an error status and the attribute lmcache.span.leaked, and is counted (Stats).
//
// Its state belongs to the bus's dispatcher; only Stats may be called from
// elsewhere. The bus closes it; whoever ends the Subscription alone closes it
// afterwards.
type SpanSubscriber struct{ spans *spanSessions }

// NewSpanSubscriber returns a subscriber whose spans come from tp.
func NewSpanSubscriber(tp trace.TracerProvider, o SpanOptions) (*SpanSubscriber, error) {
	spans, err := newSpanSessions(spanRequest, spanTracer, tp, o)
	if err != nil {
		return nil, err
	}
	return &SpanSubscriber{spans}, nil
}

// Name is the name of the type.
func (*SpanSubscriber) Name() string { return "SpanSubscriber" }

// Subscribe asks for the events.
func (s *SpanSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e lmcache.RequestStarted, at time.Time) { s.requestStarted(e.SessionID, e.TraceParent, at) })
	eventbus.On(sub, func(e lmcache.LookupStarted, at time.Time) {
		s.start(e.SessionID, childKey{kind: spanLookup}, at, nil)
	})
	eventbus.On(sub, s.lookupEnded)
	eventbus.On(sub, s.lookupAbandoned)
	eventbus.On(sub, func(e lmcache.StoreSubmitted, at time.Time) { s.spans.submitted(e.SessionID, spanStore, at) })
	eventbus.On(sub, func(e lmcache.StoreStarted, at time.Time) {
		s.start(e.SessionID, childKey{spanStore, e.Device, e.OpID}, at, storeStartAttributes(&e))
	})
	eventbus.On(sub, s.storeEnded)
	eventbus.On(sub, func(e lmcache.RetrieveSubmitted, at time.Time) { s.spans.submitted(e.SessionID, spanRetrieve, at) })
	eventbus.On(sub, func(e lmcache.RetrieveStarted, at time.Time) {
		s.start(e.SessionID, childKey{spanRetrieve, e.Device, e.OpID}, at, retrieveStartAttributes(&e))
	})
	eventbus.On(sub, s.retrieveEnded)
	eventbus.On(sub, func(e lmcache.RequestEnded, at time.Time) { s.requestEnded(e.SessionID, at) })
	sub.Every(spanSweepInterval, s.spans.sweep)
}

// Close gives up everything that is open. It is idempotent and never fails.
func (s *SpanSubscriber) Close() error {
	s.spans.shut()
	return nil
}

// SpanStats are the counts of a span subscriber.
type SpanStats struct {
	Open           int               // spans that have begun and not ended
	Leaked         map[string]uint64 // spans that were given up, by kind: the name of the span without "mp."
	PushedOut      uint64            // sessions given up because more than 10,000 were open
	ChildrenPushed uint64            // children given up because their session had more than 256

	// ClosedForgotten are roots that were forgotten less than MaxPendingAge after they
	// ended, because 10,000 others have ended since: what still comes for them is in
	// no trace.
	ClosedForgotten uint64
}

// Stats returns the counts. It is safe for concurrent use.
func (s *SpanSubscriber) Stats() SpanStats { return s.spans.stats(spanStore) }
