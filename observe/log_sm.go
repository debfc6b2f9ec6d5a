package observe

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// SMLoggingSubscriber logs how many keys each call of the storage manager got and did
// not get, at DEBUG. It is isolated: events that it is too slow for are dropped and
// counted.
type SMLoggingSubscriber struct{ log debugLog }

// NewSMLoggingSubscriber makes one that writes to log; nil: nowhere.
func NewSMLoggingSubscriber(log *slog.Logger) *SMLoggingSubscriber {
	return &SMLoggingSubscriber{debugLog{log}}
}

// Name is the name of the type.
func (*SMLoggingSubscriber) Name() string { return "SMLoggingSubscriber" }

// Subscribe asks for the events.
func (s *SMLoggingSubscriber) Subscribe(sub *eventbus.Subscription) {
	s.log.subscribe(sub)
	eventbus.On(sub, func(e storage.ReadPrefetched, at time.Time) {
		s.keys(at, "SM read prefetched", e.SucceededKeys, e.FailedKeys)
	})
	eventbus.On(sub, func(e storage.ReadPrefetchedFinished, at time.Time) {
		s.keys(at, "SM read prefetched finished", e.SucceededKeys, e.FailedKeys)
	})
	eventbus.On(sub, func(e storage.WriteReserved, at time.Time) {
		s.keys(at, "SM write reserved", e.SucceededKeys, e.FailedKeys)
	})
	eventbus.On(sub, func(e storage.WriteFinished, at time.Time) {
		s.keys(at, "SM write finished", e.SucceededKeys, e.FailedKeys)
	})
}

func (s *SMLoggingSubscriber) keys(at time.Time, what string, ok, failed []kv.Key) {
	if s.log.enabled() {
		s.log.write(at, fmt.Sprintf("%s: %d succeeded, %d failed", what, len(ok), len(failed)),
			slog.Int("succeeded", len(ok)), slog.Int("failed", len(failed)))
	}
}
