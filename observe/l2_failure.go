package observe

import (
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
)

// L2FailureMetricsSubscriber counts keys that were found in an outer tier and not
// loaded, by reason and model: row 33.
type L2FailureMetricsSubscriber struct{ prefetch *family }

// NewL2FailureMetricsSubscriber makes its instruments on mp.
func NewL2FailureMetricsSubscriber(mp metric.MeterProvider, o MetricOptions) (*L2FailureMetricsSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	return &L2FailureMetricsSubscriber{prefetch: in.family(nameL2PrefetchFailure)}, in.err()
}

// Name is the name of the type.
func (*L2FailureMetricsSubscriber) Name() string { return "L2FailureMetricsSubscriber" }

// Subscribe asks for the events.
func (s *L2FailureMetricsSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e storage.L2PrefetchFailed, _ time.Time) {
		byModel(e.Keys, func(model string, n int) { s.prefetch.add(n, values{e.Reason, model}) })
	})
	sub.AfterBatch(s.prefetch.flush)
}
