package observe

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// BlendLoggingSubscriber logs the lookups and retrieves of CacheBlend and what becomes
// of its fingerprints, at DEBUG. Of tokens it logs numbers only. It is isolated: events
// that it is too slow for are dropped and counted.
type BlendLoggingSubscriber struct{ log debugLog }

// NewBlendLoggingSubscriber makes one that writes to log; nil: nowhere.
func NewBlendLoggingSubscriber(log *slog.Logger) *BlendLoggingSubscriber {
	return &BlendLoggingSubscriber{debugLog{log}}
}

// Name is the name of the type.
func (*BlendLoggingSubscriber) Name() string { return "BlendLoggingSubscriber" }

// Subscribe asks for the events.
func (s *BlendLoggingSubscriber) Subscribe(sub *eventbus.Subscription) {
	s.log.subscribe(sub)
	eventbus.On(sub, func(e lmcache.BlendLookupStarted, at time.Time) {
		if s.log.enabled() {
			s.log.write(at, fmt.Sprintf("CB lookup start: session=%s num_tokens=%d", e.SessionID, e.NumTokens),
				slog.String("session", e.SessionID), slog.Int("num_tokens", e.NumTokens))
		}
	})
	eventbus.On(sub, func(e lmcache.BlendLookupEnded, at time.Time) {
		if s.log.enabled() {
			s.log.write(at, fmt.Sprintf("CB lookup end: session=%s num_tokens=%d fingerprint_hits=%d storage_hits=%d stale_chunks=%d no_gpu_context=%t",
				e.SessionID, e.NumTokens, e.FingerprintHits, e.StorageHits, e.StaleChunks, e.NoGPUContext),
				slog.String("session", e.SessionID), slog.Int("num_tokens", e.NumTokens), slog.Int("fingerprint_hits", e.FingerprintHits),
				slog.Int("storage_hits", e.StorageHits), slog.Int("stale_chunks", e.StaleChunks), slog.Bool("no_gpu_context", e.NoGPUContext))
		}
	})
	eventbus.On(sub, func(e lmcache.BlendRetrieveStarted, at time.Time) {
		if s.log.enabled() {
			s.log.write(at, fmt.Sprintf("CB retrieve start: session=%s instance_id=%d num_chunks=%d", e.SessionID, e.InstanceID, e.NumChunks),
				slog.String("session", e.SessionID), slog.Int64("instance_id", e.InstanceID), slog.Int("num_chunks", e.NumChunks))
		}
	})
	eventbus.On(sub, func(e lmcache.BlendRetrieveEnded, at time.Time) {
		if s.log.enabled() {
			s.log.write(at, fmt.Sprintf("CB retrieve end: session=%s instance_id=%d num_chunks=%d success=%t", e.SessionID, e.InstanceID, e.NumChunks, e.Success),
				slog.String("session", e.SessionID), slog.Int64("instance_id", e.InstanceID), slog.Int("num_chunks", e.NumChunks), slog.Bool("success", e.Success))
		}
	})
	eventbus.On(sub, func(e lmcache.BlendFingerprintsRegistered, at time.Time) {
		if s.log.enabled() {
			s.log.write(at, fmt.Sprintf("CB fingerprint table: +%d chunks (%d tokens)", e.NumChunks, e.NumTokens),
				slog.String("session", e.SessionID), slog.Int("num_chunks", e.NumChunks), slog.Int("num_tokens", e.NumTokens))
		}
	})
	eventbus.On(sub, func(e lmcache.BlendChunksEvicted, at time.Time) {
		if s.log.enabled() {
			s.log.write(at, fmt.Sprintf("CB fingerprint table: evicted %d stale chunks", e.NumChunks),
				slog.String("session", e.SessionID), slog.Int("num_chunks", e.NumChunks))
		}
	})
}
