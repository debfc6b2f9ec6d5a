package observe

import (
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
)

// L1MetricsSubscriber counts keys read, written and evicted in L1: rows 7 to 9.
type L1MetricsSubscriber struct{ read, written, evicted *single }

// NewL1MetricsSubscriber makes its instruments on mp.
func NewL1MetricsSubscriber(mp metric.MeterProvider, o MetricOptions) (*L1MetricsSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	return &L1MetricsSubscriber{
		read: in.single(nameL1Read), written: in.single(nameL1Write), evicted: in.single(nameL1Evicted),
	}, in.err()
}

// Name is the name of the type.
func (*L1MetricsSubscriber) Name() string { return "L1MetricsSubscriber" }

// Subscribe asks for the events.
func (s *L1MetricsSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e l1.ReadFinished, _ time.Time) { s.read.n += int64(len(e.Keys)) })
	eventbus.On(sub, func(e l1.WriteFinished, _ time.Time) { s.written.n += int64(len(e.Keys)) })
	eventbus.On(sub, func(e l1.WriteFinishedAndReadReserved, _ time.Time) { s.written.n += int64(len(e.Keys)) })
	eventbus.On(sub, func(e l1.KeysEvicted, _ time.Time) {
		if e.Cause == l1.CauseEvict || e.Cause == "" {
			s.evicted.n += int64(len(e.Keys))
		}
	})
	sub.AfterBatch(s.flush)
}

func (s *L1MetricsSubscriber) flush() {
	s.read.flush()
	s.written.flush()
	s.evicted.flush()
}
