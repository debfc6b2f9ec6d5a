package observe

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
)

// L2FailureMetricsSubscriber counts keys that were found in an outer tier and not
// loaded, by reason and model: row 33. It also counts how the breakers of outer
// tiers change, and the keys that a tier never got, by reason.
type L2FailureMetricsSubscriber struct{ prefetch, breakers, dropped *family }

// NewL2FailureMetricsSubscriber makes its instruments on mp.
func NewL2FailureMetricsSubscriber(mp metric.MeterProvider, o MetricOptions) (*L2FailureMetricsSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	return &L2FailureMetricsSubscriber{
		prefetch: in.family(nameL2PrefetchFailure), breakers: in.family(nameL2BreakerChanges), dropped: in.family(nameL2StoreDropped),
	}, in.err()
}

// Name is the name of the type.
func (*L2FailureMetricsSubscriber) Name() string { return "L2FailureMetricsSubscriber" }

// Subscribe asks for the events.
func (s *L2FailureMetricsSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e storage.L2PrefetchFailed, _ time.Time) {
		byModel(e.Keys, func(model string, n int) { s.prefetch.add(n, values{e.Reason, model}) })
	})
	eventbus.On(sub, func(e storage.L2AdapterState, _ time.Time) {
		s.breakers.add(1, values{e.L2Name, strconv.Itoa(e.AdapterIndex), string(e.To)})
	})
	eventbus.On(sub, func(e storage.L2StoreDropped, _ time.Time) {
		s.dropped.add(e.KeyCount, values{e.L2Name, strconv.Itoa(e.AdapterIndex), e.Reason})
	})
	sub.AfterBatch(s.flush)
}

func (s *L2FailureMetricsSubscriber) flush() {
	s.prefetch.flush()
	s.breakers.flush()
	s.dropped.flush()
}
