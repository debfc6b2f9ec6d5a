package observe

import (
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// LookupMetricsSubscriber counts delivered lookups and their tokens by model and
// tenant: rows 34 and 35, the split of hits by tier, and early exits. One event
// moves all of them, so that their ratios are always consistent.
type LookupMetricsSubscriber struct {
	requested, hit, hitL1, hitL2, lookups, early *family
}

// NewLookupMetricsSubscriber makes its instruments on mp.
func NewLookupMetricsSubscriber(mp metric.MeterProvider, o MetricOptions) (*LookupMetricsSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	return &LookupMetricsSubscriber{
		requested: in.family(nameRequestedTokens), hit: in.family(nameHitTokens),
		hitL1: in.family(nameHitL1), hitL2: in.family(nameHitL2),
		lookups: in.family(nameLookups), early: in.family(nameEarlyExit),
	}, in.err()
}

// Name is the name of the type.
func (*LookupMetricsSubscriber) Name() string { return "LookupMetricsSubscriber" }

// Subscribe asks for the events.
func (s *LookupMetricsSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e lmcache.LookupEnded, _ time.Time) {
		k := values{e.Model, e.Salt}
		s.requested.add(e.RequestedTokens, k)
		s.hit.add(e.HitTokens, k)
		s.hitL1.add(e.L1HitTokens, k)
		s.hitL2.add(e.L2HitTokens, k)
		s.lookups.add(1, k)
		if e.EarlyExitReason != "" {
			s.early.add(1, values{e.Model, e.Salt, e.EarlyExitReason})
		}
	})
	sub.AfterBatch(s.flush)
}

func (s *LookupMetricsSubscriber) flush() {
	s.requested.flush()
	s.hit.flush()
	s.hitL1.flush()
	s.hitL2.flush()
	s.lookups.flush()
	s.early.flush()
}
