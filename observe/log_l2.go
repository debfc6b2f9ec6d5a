package observe

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
)

// L2LoggingSubscriber logs what outer tiers are asked for and what they answer, at
// DEBUG. It is isolated: events that it is too slow for are dropped and counted.
type L2LoggingSubscriber struct{ log debugLog }

// NewL2LoggingSubscriber makes one that writes to log; nil: nowhere.
func NewL2LoggingSubscriber(log *slog.Logger) *L2LoggingSubscriber {
	return &L2LoggingSubscriber{debugLog{log}}
}

// Name is the name of the type.
func (*L2LoggingSubscriber) Name() string { return "L2LoggingSubscriber" }

// Subscribe asks for the events.
func (s *L2LoggingSubscriber) Subscribe(sub *eventbus.Subscription) {
	s.log.subscribe(sub)
	eventbus.On(sub, func(e storage.L2StoreSubmitted, at time.Time) {
		if s.log.enabled() {
			s.log.write(at, fmt.Sprintf("L2 store submitted: %d keys to adapter %d", e.KeyCount, e.AdapterIndex),
				slog.Int("keys", e.KeyCount), slog.Int("adapter_index", e.AdapterIndex), slog.String("l2_name", e.L2Name))
		}
	})
	eventbus.On(sub, func(e storage.L2StoreCompleted, at time.Time) {
		if s.log.enabled() {
			s.log.write(at, fmt.Sprintf("L2 store completed: adapter %d, %d succeeded, %d failed", e.AdapterIndex, e.SucceededCount, e.FailedCount),
				slog.Int("adapter_index", e.AdapterIndex), slog.String("l2_name", e.L2Name),
				slog.Int("succeeded", e.SucceededCount), slog.Int("failed", e.FailedCount))
		}
	})
	eventbus.On(sub, func(e storage.L2LookupSubmitted, at time.Time) {
		s.submitted(at, "lookup", e.RequestID, e.KeyCount, e.AdapterCount)
	})
	eventbus.On(sub, func(e storage.L2LookupCompleted, at time.Time) {
		if s.log.enabled() {
			s.log.write(at, fmt.Sprintf("L2 prefetch lookup completed: request %d, %d prefix hits", e.RequestID, e.PrefixHitCount),
				slog.Int64("request_id", e.RequestID), slog.Int("prefix_hits", e.PrefixHitCount))
		}
	})
	eventbus.On(sub, func(e storage.L2LoadSubmitted, at time.Time) {
		s.submitted(at, "load", e.RequestID, e.KeyCount, e.AdapterCount)
	})
	eventbus.On(sub, func(e storage.L2LoadCompleted, at time.Time) {
		if s.log.enabled() {
			s.log.write(at, fmt.Sprintf("L2 prefetch load completed: request %d, %d loaded, %d failed", e.RequestID, e.LoadedCount, e.FailedCount),
				slog.Int64("request_id", e.RequestID), slog.Int("loaded", e.LoadedCount), slog.Int("failed", e.FailedCount))
		}
	})
}

func (s *L2LoggingSubscriber) submitted(at time.Time, what string, request int64, keys, adapters int) {
	if s.log.enabled() {
		s.log.write(at, fmt.Sprintf("L2 prefetch %s submitted: request %d, %d keys to %d adapters", what, request, keys, adapters),
			slog.Int64("request_id", request), slog.Int("keys", keys), slog.Int("adapters", adapters))
	}
}
