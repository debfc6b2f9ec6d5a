package observe

import (
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
)

// L1EvictionLoopSubscriber counts the ticks of the eviction loop: rows 10 and 11.
type L1EvictionLoopSubscriber struct{ ticks, triggered *single }

// NewL1EvictionLoopSubscriber makes its instruments on mp.
func NewL1EvictionLoopSubscriber(mp metric.MeterProvider, o MetricOptions) (*L1EvictionLoopSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	return &L1EvictionLoopSubscriber{ticks: in.single(nameL1Ticks), triggered: in.single(nameL1Triggered)}, in.err()
}

// Name is the name of the type.
func (*L1EvictionLoopSubscriber) Name() string { return "L1EvictionLoopSubscriber" }

// Subscribe asks for the events.
func (s *L1EvictionLoopSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e l1.EvictionLoopTick, _ time.Time) {
		s.ticks.n++
		if e.Triggered {
			s.triggered.n++
		}
	})
	sub.AfterBatch(s.flush)
}

func (s *L1EvictionLoopSubscriber) flush() {
	s.ticks.flush()
	s.triggered.flush()
}
