package observe

import (
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// TransferMetricsSubscriber counts stores and retrieves submitted to and finished
// by each device. A device's two counters appear together.
type TransferMetricsSubscriber struct {
	storesIn, storesOut, retrievesIn, retrievesOut *family
}

// NewTransferMetricsSubscriber makes its instruments on mp.
func NewTransferMetricsSubscriber(mp metric.MeterProvider, o MetricOptions) (*TransferMetricsSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	return &TransferMetricsSubscriber{
		storesIn: in.family(nameSubmittedStores), storesOut: in.family(nameFinishedStores),
		retrievesIn: in.family(nameSubmittedRetrieves), retrievesOut: in.family(nameFinishedRetrieves),
	}, in.err()
}

// Name is the name of the type.
func (*TransferMetricsSubscriber) Name() string { return "TransferMetricsSubscriber" }

// Subscribe asks for the events.
func (s *TransferMetricsSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e lmcache.StoreSubmitted, _ time.Time) {
		s.storesIn.add(1, values{e.Device})
		s.storesOut.add(0, values{e.Device})
	})
	eventbus.On(sub, func(e lmcache.StoreEnded, _ time.Time) { s.storesOut.add(1, values{e.Device}) })
	eventbus.On(sub, func(e lmcache.RetrieveSubmitted, _ time.Time) {
		s.retrievesIn.add(1, values{e.Device})
		s.retrievesOut.add(0, values{e.Device})
	})
	eventbus.On(sub, func(e lmcache.RetrieveEnded, _ time.Time) { s.retrievesOut.add(1, values{e.Device}) })
	sub.AfterBatch(s.flush)
}

func (s *TransferMetricsSubscriber) flush() {
	s.storesIn.flush()
	s.storesOut.flush()
	s.retrievesIn.flush()
	s.retrievesOut.flush()
}
