package observe

import (
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
)

// LatencyMetricsSubscriber records how long each call took, by operation and
// outcome, and each task of an outer tier, its time in the queue apart. Nothing is
// sampled. It records event by event: a call is rare beside the keys it moves. Of
// tasks it keeps at most [MaxPendingTransfers] of each kind for [MaxPendingAge].
type LatencyMetricsSubscriber struct {
	duration *histogram
	all      draw
	stores   pairs[storeTask]
	loads    pairs[loadTask]
}

// NewLatencyMetricsSubscriber makes its instruments on mp.
func NewLatencyMetricsSubscriber(mp metric.MeterProvider, o MetricOptions) (*LatencyMetricsSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	s := &LatencyMetricsSubscriber{duration: in.histogram(nameOperation), all: newDraw(1)}
	s.stores = newPairs[storeTask](in.bound(s.Name(), "stores"))
	s.loads = newPairs[loadTask](in.bound(s.Name(), "loads"))
	return s, in.err()
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
		s.duration.since(e.SessionID, e.SubmittedAt, e.ResolvedAt, values{opLookup, outcome})
	})
	eventbus.On(sub, func(e storage.PrefetchResolved, _ time.Time) {
		s.duration.recordFor(e.ExternalRequestID, e.Elapsed.Seconds(), values{opWait, share(e.PrefixLen, e.Total)})
	})
	eventbus.On(sub, func(e lmcache.RetrieveEnded, at time.Time) {
		s.duration.since(e.SessionID, e.SubmittedAt, at, values{opRetrieve, success(e.Success)})
	})
	eventbus.On(sub, func(e lmcache.StoreEnded, at time.Time) {
		s.duration.since(e.SessionID, e.SubmittedAt, at, values{opStore, success(e.Success)})
	})
	s.subscribeTasks(sub)
}

func (s *LatencyMetricsSubscriber) subscribeTasks(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e storage.L2StoreSubmitted, at time.Time) {
		s.stores.start(storeTask{e.AdapterIndex, e.TaskID}, begun{at: at}, &s.all)
	})
	eventbus.On(sub, func(e storage.L2LoadTaskSubmitted, at time.Time) {
		s.loads.start(loadTask{e.RequestID, e.AdapterIndex}, begun{at: at}, &s.all)
	})
	eventbus.On(sub, func(e storage.L2StoreCompleted, at time.Time) {
		b, _ := s.stores.end(storeTask{e.AdapterIndex, e.TaskID})
		s.task(opL2Store, b.at, e.StartedAt, at, success(e.FailedCount == 0))
	})
	eventbus.On(sub, func(e storage.L2LoadTaskCompleted, at time.Time) {
		b, _ := s.loads.end(loadTask{e.RequestID, e.AdapterIndex})
		s.task(opL2Load, b.at, e.StartedAt, at, success(e.Success))
	})
	sub.Every(time.Second, func(now time.Time) {
		s.stores.sweep(now)
		s.loads.sweep(now)
	})
}

// task records, of no session, the time in the queue and the time of service; where the start of
// service is not known, all of it is service. Zero times are not known.
func (s *LatencyMetricsSubscriber) task(op string, submitted, started, ended time.Time, outcome string) {
	if started.IsZero() {
		s.duration.since("", submitted, ended, values{op, outcome})
		return
	}
	s.duration.since("", submitted, started, values{opL2Queue, outcome})
	s.duration.since("", started, ended, values{op, outcome})
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
