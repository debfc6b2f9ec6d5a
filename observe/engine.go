package observe

import (
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// EngineMetricsSubscriber counts chunks delivered into the engine's cache, by
// worker, model and tenant: row 43.
type EngineMetricsSubscriber struct{ loaded *family }

// NewEngineMetricsSubscriber makes its instruments on mp.
func NewEngineMetricsSubscriber(mp metric.MeterProvider, o MetricOptions) (*EngineMetricsSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	return &EngineMetricsSubscriber{loaded: in.family(nameChunksLoaded)}, in.err()
}

// Name is the name of the type.
func (*EngineMetricsSubscriber) Name() string { return "EngineMetricsSubscriber" }

// Subscribe asks for the events.
func (s *EngineMetricsSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e lmcache.RetrieveEnded, _ time.Time) {
		if e.RetrievedCount != 0 { // a negative one is refused
			s.loaded.add(e.RetrievedCount, values{e.EngineID, e.Model, e.Salt})
		}
	})
	sub.AfterBatch(s.loaded.flush)
}
