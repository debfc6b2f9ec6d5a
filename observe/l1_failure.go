package observe

import (
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// L1FailureMetricsSubscriber counts keys that got no memory or could not be read
// although they should have been there, by model: rows 31 and 32.
type L1FailureMetricsSubscriber struct{ allocation, read *family }

// NewL1FailureMetricsSubscriber makes its instruments on mp.
func NewL1FailureMetricsSubscriber(mp metric.MeterProvider, o MetricOptions) (*L1FailureMetricsSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	return &L1FailureMetricsSubscriber{allocation: in.family(nameAllocFailure), read: in.family(nameReadFailure)}, in.err()
}

// Name is the name of the type.
func (*L1FailureMetricsSubscriber) Name() string { return "L1FailureMetricsSubscriber" }

// Subscribe asks for the events.
func (s *L1FailureMetricsSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e storage.AllocationFailed, _ time.Time) {
		byModel(e.Keys, func(model string, n int) { s.allocation.add(n, values{e.During, model}) })
	})
	eventbus.On(sub, func(e storage.ReadFailed, _ time.Time) {
		byModel(e.Keys, func(model string, n int) { s.read.add(n, values{e.During, e.Reason, model}) })
	})
	sub.AfterBatch(s.flush)
}

func (s *L1FailureMetricsSubscriber) flush() {
	s.allocation.flush()
	s.read.flush()
}

// byModel calls add once for each run of keys of one model.
func byModel(keys []kv.Key, add func(model string, n int)) {
	for len(keys) > 0 {
		n := 1
		for n < len(keys) && keys[n].Model == keys[0].Model {
			n++
		}
		add(keys[0].Model, n)
		keys = keys[n:]
	}
}
