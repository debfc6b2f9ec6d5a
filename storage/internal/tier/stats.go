package tier

import (
	"maps"
	"time"

	"github.com/lmcache-go/lmcache/l2"
)

// Stats is the state of a Tier at one moment.
type Stats struct {
	Breaker      State
	RetryIn      time.Duration // open: until the next probe
	Reason       string        // why it is open
	Calls        int
	OldestCall   time.Duration
	QueuedLoads  int // objects
	QueuedStores int
	Pins         int
	UsedBytes    int64
	Reserved     int64
	Capacity     int64 // 0: none, unless Bounded
	Bounded      bool  // a store that has no room has the capacity 0
	Objects      int64
	BytesBySalt  map[string]int64
	Complete     bool // the scan at the start has found everything
	Written      int64
	Read         int64
	Corrupt      int64
	Retries      int64
	Evicted      int64
	Failures     map[l2.Reason]int64
	LastSuccess  time.Time
	LastFailure  time.Time
	Healthy      bool
	Raw          bool
	Details      map[string]any // of the adapter
}

// failingFor is how long failures alone make a tier unhealthy.
const failingFor = time.Minute

// Stats returns the present state. Its cost grows with the number of tenants.
func (t *Tier) Stats() Stats {
	s := t.stats()
	if d, ok := l2.AbilityOf[l2.Describer](t.adapter); ok {
		err := guarded(func() error { s.Details = d.Describe(); return nil })
		if err != nil {
			s.Details = map[string]any{"error": err.Error()}
		}
	}
	return s
}

func (t *Tier) stats() Stats {
	t.lock()
	defer t.unlock()
	now := t.rt.Now()
	b, x, c := &t.mu.breaker, &t.mu.index, &t.mu.counts
	s := Stats{
		Breaker: b.state, Reason: b.reason, Calls: len(t.mu.calls), OldestCall: t.oldestLocked(now),
		QueuedLoads: t.mu.loads.objects(), QueuedStores: t.mu.stores.objects(), Pins: x.pins,
		UsedBytes: x.bytes, Reserved: x.reserved, Capacity: max(0, t.boundLocked()), Bounded: t.boundLocked() >= 0, Objects: x.objects, Complete: x.complete && !x.partial,
		Written: c.written, Read: c.read, Corrupt: c.corrupt, Retries: c.retries, Evicted: c.evicted,
		Failures: maps.Clone(c.failures), LastSuccess: c.lastSuccess, LastFailure: c.lastFailure, Raw: t.format.Raw,
	}
	if b.state == StateOpen {
		s.RetryIn = max(0, b.retryAt.Sub(now))
	}
	s.BytesBySalt = make(map[string]int64)
	for _, n := range x.tenants[1:] {
		if n.bytes > 0 {
			s.BytesBySalt[n.salt] = n.bytes
		}
	}
	failing := !c.lastFailure.IsZero() && c.lastFailure.After(c.lastSuccess) && now.Sub(c.lastFailure) <= failingFor
	s.Healthy = b.state == StateClosed && s.OldestCall < patience && !failing
	return s
}

// Check verifies the sums of the index; for tests.
func (t *Tier) Check() error { return t.check() }
