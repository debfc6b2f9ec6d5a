package observe

import (
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
)

// L2ThroughputSubscriber records how fast sampled tasks moved data between L1 and
// outer tiers, from submission to completion: rows 41 and 42. A failed task, or one
// for which nothing was moved, gives no sample. It keeps at most
// [MaxPendingTransfers] of each kind for [MaxPendingAge].
type L2ThroughputSubscriber struct {
	storeSpeed, loadSpeed *histogram
	draw                  draw
	stores                pairs[storeTask]
	loads                 pairs[loadTask]
}

type (
	storeTask struct {
		adapter int
		task    int64
	}
	loadTask struct {
		request int64
		adapter int
	}
)

// NewL2ThroughputSubscriber makes its instruments on mp.
func NewL2ThroughputSubscriber(mp metric.MeterProvider, o MetricOptions) (*L2ThroughputSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	s := &L2ThroughputSubscriber{
		storeSpeed: in.histogram(nameL2StoreSpeed), loadSpeed: in.histogram(nameL2LoadSpeed), draw: newDraw(in.rate),
	}
	s.stores = newPairs[storeTask](in.bound(s.Name(), "stores"))
	s.loads = newPairs[loadTask](in.bound(s.Name(), "loads"))
	return s, in.err()
}

// Name is the name of the type.
func (*L2ThroughputSubscriber) Name() string { return "L2ThroughputSubscriber" }

// Subscribe asks for the events.
func (s *L2ThroughputSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e storage.L2StoreSubmitted, at time.Time) {
		s.stores.start(storeTask{e.AdapterIndex, e.TaskID}, begun{at, e.TotalBytes}, &s.draw)
	})
	eventbus.On(sub, func(e storage.L2LoadTaskSubmitted, at time.Time) {
		s.loads.start(loadTask{e.RequestID, e.AdapterIndex}, begun{at, e.TotalBytes}, &s.draw)
	})
	eventbus.On(sub, func(e storage.L2StoreCompleted, at time.Time) {
		b, ok := s.stores.end(storeTask{e.AdapterIndex, e.TaskID})
		if e.BytesKnown {
			b.bytes = e.BytesTransferred
		} else if e.FailedCount > 0 {
			b.bytes = 0 // some of what was submitted, nobody knows how much
		}
		if ok && (e.SucceededCount > 0 || e.FailedCount == 0) {
			s.storeSpeed.gigabytes("", b.bytes, b.at, at, values{e.L2Name})
		}
	})
	eventbus.On(sub, func(e storage.L2LoadTaskCompleted, at time.Time) {
		b, ok := s.loads.end(loadTask{e.RequestID, e.AdapterIndex})
		if e.BytesKnown {
			b.bytes = e.BytesTransferred
		}
		if ok && e.Success {
			s.loadSpeed.gigabytes("", b.bytes, b.at, at, values{e.L2Name})
		}
	})
	sub.Every(time.Second, func(now time.Time) {
		s.stores.sweep(now)
		s.loads.sweep(now)
	})
}
