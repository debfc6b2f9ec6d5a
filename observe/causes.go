package observe

import (
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// CauseMetricsSubscriber counts what went away and why: keys removed from L1 by
// cause, chunks missed by reason, prefetch jobs and leases that expired, waits for
// outer tiers that ran out of time.
type CauseMetricsSubscriber struct {
	removed, misses, leases, timeouts *family
	jobs                              *single
}

// NewCauseMetricsSubscriber makes its instruments on mp.
func NewCauseMetricsSubscriber(mp metric.MeterProvider, o MetricOptions) (*CauseMetricsSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	return &CauseMetricsSubscriber{
		removed: in.family(nameRemoved), misses: in.family(nameMisses), leases: in.family(nameLeaseExpired),
		timeouts: in.family(nameTimeouts), jobs: in.single(nameJobsExpired),
	}, in.err()
}

// Name is the name of the type.
func (*CauseMetricsSubscriber) Name() string { return "CauseMetricsSubscriber" }

// Subscribe asks for the events.
func (s *CauseMetricsSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e l1.KeysEvicted, _ time.Time) {
		cause := e.Cause
		if cause == "" {
			cause = l1.CauseEvict
		}
		s.removed.add(len(e.Keys), values{string(cause)})
	})
	eventbus.On(sub, func(e l1.LeaseExpired, _ time.Time) { s.leases.add(1, values{string(e.Kind)}) })
	eventbus.On(sub, func(e lmcache.LookupAbandoned, _ time.Time) {
		if e.Reason == abandonedExpired {
			s.jobs.n++
		}
	})
	eventbus.On(sub, func(e lmcache.LookupEnded, _ time.Time) {
		for r, n := range e.Misses {
			if n != 0 {
				s.misses.add(int(n), values{storage.MissReason(r).String(), e.Model})
			}
		}
	})
	eventbus.On(sub, func(storage.L2PrefetchDeadline, time.Time) { s.timeouts.add(1, values{timeoutDeadline}) })
	eventbus.On(sub, func(e storage.L2PrefetchFailed, _ time.Time) {
		if e.Reason == storage.ReasonTimeout {
			s.timeouts.add(1, values{timeoutL2})
		}
	})
	sub.AfterBatch(s.flush)
}

func (s *CauseMetricsSubscriber) flush() {
	s.removed.flush()
	s.misses.flush()
	s.leases.flush()
	s.timeouts.flush()
	s.jobs.flush()
}
