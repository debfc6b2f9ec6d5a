package observe

import "time"

// Bounds of what the subscribers keep. What is beyond them is forgotten, oldest
// first unless said otherwise, and counted in subscriber_overflow.
const (
	MaxL1Chunks         = 100_000          // L1LifecycleSubscriber: chunks followed ("chunks")
	MaxL1Evicted        = 100_000          // L1LifecycleSubscriber: evictions that wait for a rewrite ("evicted")
	MaxReuseChunks      = 100_000          // SMLifecycleSubscriber: chunks followed, a random one goes ("chunks")
	MaxSalts            = 10_000           // SMLifecycleSubscriber: tenants with a count of their own, further ones share one ("salts")
	MaxL0Blocks         = 1 << 20          // L0LifecycleSubscriber: blocks followed or left out, further ones are not seen ("blocks")
	MaxL0Requests       = 100_000          // L0LifecycleSubscriber: requests that own blocks ("requests")
	MaxPendingTransfers = 10_000           // throughput subscribers: transfers that were begun, of each direction ("stores", "loads")
	MaxPendingAge       = 60 * time.Second // and the time after which they are given up
)

// MaxMemory is what all subscribers of this package hold together at most, in bytes,
// with all of these bounds reached but two: that of blocks, of which each one that is
// followed takes 400 bytes more, and that of operations which one session has open at
// a time, of which a few are counted in. So are names and ids of usual length. What the
// instruments of a provider hold, and queues, are not.
const MaxMemory = 256 << 20

// maxEvictGap is how long an eviction waits for a rewrite, and the largest
// sample of that gap.
const maxEvictGap = 300 * time.Second

// timeline turns times into durations since the first one, which take a third of
// the memory and hold no pointer.
type timeline struct{ base time.Time }

func (l *timeline) of(at time.Time) time.Duration {
	if l.base.IsZero() {
		l.base = at
	}
	return at.Sub(l.base)
}
