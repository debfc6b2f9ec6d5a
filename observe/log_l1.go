package observe

import (
	"log/slog"
	"strconv"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
)

// L1LoggingSubscriber logs how many keys each step of the first tier was about, at
// DEBUG. It is isolated: events that it is too slow for are dropped and counted.
type L1LoggingSubscriber struct{ log debugLog }

// NewL1LoggingSubscriber makes one that writes to log; nil: nowhere.
func NewL1LoggingSubscriber(log *slog.Logger) *L1LoggingSubscriber {
	return &L1LoggingSubscriber{debugLog{log}}
}

// Name is the name of the type.
func (*L1LoggingSubscriber) Name() string { return "L1LoggingSubscriber" }

// Subscribe asks for the events.
func (s *L1LoggingSubscriber) Subscribe(sub *eventbus.Subscription) {
	s.log.subscribe(sub)
	eventbus.On(sub, func(e l1.ReadReserved, at time.Time) { s.keys(at, "L1 read reserved: ", len(e.Keys)) })
	eventbus.On(sub, func(e l1.ReadFinished, at time.Time) { s.keys(at, "L1 read finished: ", len(e.Keys)) })
	eventbus.On(sub, func(e l1.WriteReserved, at time.Time) { s.keys(at, "L1 write reserved: ", len(e.Keys)) })
	eventbus.On(sub, func(e l1.WriteFinished, at time.Time) { s.keys(at, "L1 write finished: ", len(e.Keys)) })
	eventbus.On(sub, func(e l1.WriteFinishedAndReadReserved, at time.Time) {
		s.keys(at, "L1 write finished and read reserved: ", len(e.Keys))
	})
	eventbus.On(sub, func(e l1.KeysEvicted, at time.Time) {
		if e.Cause == "" || e.Cause == l1.CauseEvict { // other removals are no evictions
			s.keys(at, "L1 eviction: ", len(e.Keys))
		}
	})
}

func (s *L1LoggingSubscriber) keys(at time.Time, what string, n int) {
	if s.log.enabled() {
		s.log.write(at, what+strconv.Itoa(n)+" keys", slog.Int("keys", n))
	}
}
