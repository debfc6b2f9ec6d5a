package observe

import (
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// L0L1ThroughputSubscriber records how fast sampled stores and retrieves copied,
// by the device's clock: rows 39 and 40. What failed, moved nothing or took no time
// gives no sample. It keeps at most [MaxPendingTransfers] of each kind for
// [MaxPendingAge].
type L0L1ThroughputSubscriber struct {
	storeSpeed, loadSpeed *histogram
	draw                  draw
	stores, loads         pairs[transferID]
}

// transferID is the operation, or where none is given the session and device:
// several ranks share a session.
type transferID struct{ op, session, device string }

// NewL0L1ThroughputSubscriber makes its instruments on mp.
func NewL0L1ThroughputSubscriber(mp metric.MeterProvider, o MetricOptions) (*L0L1ThroughputSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	s := &L0L1ThroughputSubscriber{
		storeSpeed: in.histogram(nameL0L1Store), loadSpeed: in.histogram(nameL0L1Load), draw: newDraw(in.rate),
	}
	s.stores = newPairs[transferID](in.bound(s.Name(), "stores"))
	s.loads = newPairs[transferID](in.bound(s.Name(), "loads"))
	return s, in.err()
}

// Name is the name of the type.
func (*L0L1ThroughputSubscriber) Name() string { return "L0L1ThroughputSubscriber" }

// Subscribe asks for the events.
func (s *L0L1ThroughputSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e lmcache.StoreStarted, at time.Time) { s.start(&s.stores, e.OpID, e.SessionID, e.Device, at) })
	eventbus.On(sub, func(e lmcache.RetrieveStarted, at time.Time) { s.start(&s.loads, e.OpID, e.SessionID, e.Device, at) })
	eventbus.On(sub, func(e lmcache.StoreEnded, at time.Time) {
		if b, ok := s.stores.end(idOf(e.OpID, e.SessionID, e.Device)); ok && e.Success {
			s.storeSpeed.gigabytes(e.SessionID, e.TotalBytes, b.at, at, values{e.EngineID, e.Device, e.Model})
		}
	})
	eventbus.On(sub, func(e lmcache.RetrieveEnded, at time.Time) {
		if b, ok := s.loads.end(idOf(e.OpID, e.SessionID, e.Device)); ok && e.Success {
			s.loadSpeed.gigabytes(e.SessionID, e.TotalBytes, b.at, at, values{e.EngineID, e.Device, e.Model})
		}
	})
	sub.Every(time.Second, func(now time.Time) {
		s.stores.sweep(now)
		s.loads.sweep(now)
	})
}

func (s *L0L1ThroughputSubscriber) start(p *pairs[transferID], op, session, device string, at time.Time) {
	if session != "" && device != "" {
		p.start(idOf(op, session, device), begun{at: at}, &s.draw)
	}
}

func idOf(op, session, device string) transferID {
	if op != "" {
		return transferID{op: op}
	}
	return transferID{session: session, device: device}
}
