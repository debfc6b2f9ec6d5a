package observe

import (
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
)

// LatencyMetricsSubscriber records how long each call took, by operation and
// outcome. Nothing is sampled. It records event by event: a call is rare beside
// the keys it moves.
type LatencyMetricsSubscriber struct{ duration *histogram }

// NewLatencyMetricsSubscriber makes its instruments on mp.
func NewLatencyMetricsSubscriber(mp metric.MeterProvider, o MetricOptions) (*LatencyMetricsSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	return &LatencyMetricsSubscriber{duration: in.histogram(nameOperation)}, in.err()
}

// Name is the name of the type.
func (*LatencyMetricsSubscriber) Name() string { return "LatencyMetricsSubscriber" }

// Subscribe asks for the events.
func (s *LatencyMetricsSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e lmcache.LookupEnded, _ time.Time) {
		outcome := share(e.HitTokens, e.RequestedTokens)
		if e.EarlyExitReason != "" {
			outcome = outcomeEarly
		}
		s.duration.since(e.SubmittedAt, e.ResolvedAt, values{opLookup, outcome})
	})
	eventbus.On(sub, func(e storage.PrefetchResolved, _ time.Time) {
		s.duration.record(e.Elapsed.Seconds(), values{opWait, share(e.PrefixLen, e.Total)})
	})
	eventbus.On(sub, func(e lmcache.RetrieveEnded, at time.Time) {
		s.duration.since(e.SubmittedAt, at, values{opRetrieve, success(e.Success)})
	})
	eventbus.On(sub, func(e lmcache.StoreEnded, at time.Time) {
		s.duration.since(e.SubmittedAt, at, values{opStore, success(e.Success)})
	})
}

// share is the outcome of finding n of total.
func share(n, total int) string {
	switch {
	case n <= 0:
		return outcomeMiss
	case n < total:
		return outcomePartial
	default:
		return outcomeHit
	}
}

func success(ok bool) string {
	if ok {
		return outcomeOK
	}
	return outcomeFailed
}
