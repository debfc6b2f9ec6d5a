package main

import (
	"context"
	"time"
)

// again is the time between two tries.
const again = 200 * time.Millisecond

// wait lets some time pass; false: ctx has ended.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// pause waits before another try, unless that would begin after end or ctx ends: false.
func pause(ctx context.Context, end time.Time) bool {
	return ctx.Err() == nil && !time.Now().Add(again).After(end) && wait(ctx, again)
}
