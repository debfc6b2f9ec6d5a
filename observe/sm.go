package observe

import (
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
)

// SMMetricsSubscriber counts what is asked of the storage manager: rows 1 to 6.
type SMMetricsSubscriber struct {
	readRequests, readSucceed, readFailed    *single
	writeRequests, writeSucceed, writeFailed *single
}

// NewSMMetricsSubscriber makes its instruments on mp.
func NewSMMetricsSubscriber(mp metric.MeterProvider, o MetricOptions) (*SMMetricsSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	return &SMMetricsSubscriber{
		readRequests: in.single(nameSMReadRequests), readSucceed: in.single(nameSMReadSucceed), readFailed: in.single(nameSMReadFailed),
		writeRequests: in.single(nameSMWriteRequests), writeSucceed: in.single(nameSMWriteSucceed), writeFailed: in.single(nameSMWriteFailed),
	}, in.err()
}

// Name is the name of the type.
func (*SMMetricsSubscriber) Name() string { return "SMMetricsSubscriber" }

// Subscribe asks for the events.
func (s *SMMetricsSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e storage.ReadPrefetched, _ time.Time) {
		s.readRequests.n++
		s.readSucceed.n += int64(len(e.SucceededKeys))
		s.readFailed.n += int64(len(e.FailedKeys))
	})
	eventbus.On(sub, func(e storage.WriteReserved, _ time.Time) {
		s.writeRequests.n++
		s.writeSucceed.n += int64(len(e.SucceededKeys))
		s.writeFailed.n += int64(len(e.FailedKeys))
	})
	sub.AfterBatch(s.flush)
}

func (s *SMMetricsSubscriber) flush() {
	s.readRequests.flush()
	s.readSucceed.flush()
	s.readFailed.flush()
	s.writeRequests.flush()
	s.writeSucceed.flush()
	s.writeFailed.flush()
}
