package observe

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// MPServerLoggingSubscriber logs the beginning and end of lookups, stores and
// retrieves, and the blocks that a host's scheduler allocates, at DEBUG. Of tokens it
// logs numbers only. It is isolated: events that it is too slow for are dropped and
// counted.
type MPServerLoggingSubscriber struct{ log debugLog }

// NewMPServerLoggingSubscriber makes one that writes to log; nil: nowhere.
func NewMPServerLoggingSubscriber(log *slog.Logger) *MPServerLoggingSubscriber {
	return &MPServerLoggingSubscriber{debugLog{log}}
}

// Name is the name of the type.
func (*MPServerLoggingSubscriber) Name() string { return "MPServerLoggingSubscriber" }

// Subscribe asks for the events.
func (s *MPServerLoggingSubscriber) Subscribe(sub *eventbus.Subscription) {
	s.log.subscribe(sub)
	eventbus.On(sub, func(e lmcache.StoreStarted, at time.Time) { s.began(at, "store", e.SessionID, e.Device) })
	eventbus.On(sub, func(e lmcache.StoreEnded, at time.Time) {
		s.ended(at, "store", e.SessionID, e.Device, "stored_count", e.StoredCount)
	})
	eventbus.On(sub, func(e lmcache.RetrieveStarted, at time.Time) { s.began(at, "retrieve", e.SessionID, e.Device) })
	eventbus.On(sub, func(e lmcache.RetrieveEnded, at time.Time) {
		s.ended(at, "retrieve", e.SessionID, e.Device, "retrieved_count", e.RetrievedCount)
	})
	eventbus.On(sub, func(e lmcache.LookupStarted, at time.Time) {
		if s.log.enabled() {
			s.log.write(at, "MP lookup/prefetch start: session="+e.SessionID, slog.String("session", e.SessionID))
		}
	})
	eventbus.On(sub, func(e lmcache.LookupEnded, at time.Time) {
		if s.log.enabled() {
			s.log.write(at, fmt.Sprintf("MP lookup/prefetch end: session=%s found_count=%d", e.SessionID, e.FoundCount),
				slog.String("session", e.SessionID), slog.Int("found_count", e.FoundCount))
		}
	})
	eventbus.On(sub, s.allocated)
}

func (s *MPServerLoggingSubscriber) began(at time.Time, what, session, device string) {
	if s.log.enabled() {
		s.log.write(at, fmt.Sprintf("MP %s start: session=%s device=%s", what, session, device),
			slog.String("session", session), slog.String("device", device))
	}
}

func (s *MPServerLoggingSubscriber) ended(at time.Time, what, session, device, counted string, n int) {
	if s.log.enabled() {
		s.log.write(at, fmt.Sprintf("MP %s end: session=%s device=%s %s=%d", what, session, device, counted, n),
			slog.String("session", session), slog.String("device", device), slog.Int(counted, n))
	}
}

func (s *MPServerLoggingSubscriber) allocated(e lmcache.BlocksAllocated, at time.Time) {
	if !s.log.enabled() {
		return
	}
	for i := range e.Records {
		r := &e.Records[i]
		ids := firstBlocks(r.NewBlockIDs)
		s.log.write(at, fmt.Sprintf("vLLM block allocation: req_id=%s new_blocks=%d new_tokens=%d block_ids=%s",
			r.RequestID, len(r.NewBlockIDs), len(r.NewTokenIDs), ids),
			slog.String("req_id", r.RequestID), slog.Int("new_blocks", len(r.NewBlockIDs)),
			slog.Int("new_tokens", len(r.NewTokenIDs)), slog.String("block_ids", ids))
	}
}

// firstBlocks writes the first ten ids as LMCache does: [0, 1, 2].
func firstBlocks[ID ~int32](ids []ID) string {
	texts := make([]string, min(len(ids), 10))
	for i := range texts {
		texts[i] = strconv.Itoa(int(ids[i]))
	}
	return "[" + strings.Join(texts, ", ") + "]"
}
