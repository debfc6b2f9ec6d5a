package main

import (
	"fmt"
	"io"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// SlowRequests writes a line for each request that spent more than Limit in the cache.
type SlowRequests struct {
	To    io.Writer
	Limit time.Duration
	err   error // of the first write that failed
}

// Name is the subscriber's name in the bus's statistics.
func (*SlowRequests) Name() string { return "slow-requests" }

// Subscribe asks for the sums of requests that have ended. A file may be slow, so the
// subscriber has a queue and goroutine of its own; what finds no room there is lost.
func (r *SlowRequests) Subscribe(s *eventbus.Subscription) {
	s.Isolated(1000, eventbus.Drop)
	eventbus.On(s, func(e lmcache.RequestReceipt, at time.Time) {
		took := e.PrefetchWait + e.RetrieveTime + e.StoreTime
		if took <= r.Limit {
			return
		}
		_, err := fmt.Fprintf(r.To, "%s request %q of tenant %q (%s): %v, %d of %d tokens found\n",
			at.Format(time.RFC3339), e.SessionID, e.Salt, e.Outcome, took, e.HitTokens, e.RequestedTokens)
		if r.err == nil {
			r.err = err
		}
	})
}

// Close is called by the bus after the last event, and logged if it fails.
func (r *SlowRequests) Close() error { return r.err }
