package lmcache

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// hitRatePeriod is the least time between two messages about the hit rate.
const hitRatePeriod = 30 * time.Second

// hitRate sums up the delivered lookups since the last message about them. The zero
// value is ready.
type hitRate struct {
	mu struct {
		sync.Mutex
		since          time.Time // of the first lookup, or the last message
		lookups        int
		requested, hit int64 // tokens
	}
}

// add counts a lookup and returns the message that is due, or nothing: the share of
// the tokens that were found of those that were asked for.
func (h *hitRate) add(requested, hit int, now time.Time) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.since.IsZero() {
		h.mu.since = now
	}
	h.mu.lookups++
	h.mu.requested += int64(requested)
	h.mu.hit += int64(hit)
	if now.Sub(h.mu.since) < hitRatePeriod {
		return ""
	}
	text := fmt.Sprintf("lookup hit rate (over %d lookup(s)): prefix=%.1f%%",
		h.mu.lookups, 100*float64(h.mu.hit)/float64(max(h.mu.requested, 1)))
	h.mu.since, h.mu.lookups, h.mu.requested, h.mu.hit = now, 0, 0, 0
	return text
}

// logHitRate counts a delivered lookup, and tells the hit rate twice a minute while
// there are lookups.
func (e *Engine) logHitRate(ev *LookupEnded, now time.Time) {
	if text := e.hits.add(ev.RequestedTokens, ev.HitTokens, now); text != "" {
		e.log.LogAttrs(context.Background(), slog.LevelInfo, text) //nolint:forbidigo // it is about many calls
	}
}
