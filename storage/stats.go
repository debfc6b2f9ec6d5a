package storage

import "time"

// StoreStats is the state of the stores to outer tiers.
type StoreStats struct {
	Pending       int // objects that wait for one of their tiers
	Tasks         int // that run
	InflightBytes int64
	Dropped       int64         // objects that some tier will not get, since the start
	Retries       int64         // of single objects
	Oldest        time.Duration // age of the oldest object that is not in all of its tiers
	Stalled       time.Duration // something waits or runs and nothing has got on since; 0: it gets on
}

// PrefetchStats is the state of the prefetches that need outer tiers.
type PrefetchStats struct {
	MaxInflight   int
	Queued        int // to be looked up
	Lookup        int
	Waiting       int   // looked up, and waiting for room
	Load          int   // that load, draining ones included
	Draining      int   // resolved, while their loads run
	Completed     int64 // resolved and not released
	InflightBytes int64 // reserved in L1
	Deadlines     int64
	Joined        int64 // keys that another prefetch's load supplied
	Stalled       time.Duration
}

// tierStats is the state of all tiers.
func (m *Manager) tierStats() []TierStats {
	if len(m.tiers) == 0 {
		return nil
	}
	list := make([]TierStats, len(m.tiers))
	for i, t := range m.tiers {
		s := t.Stats()
		failures := make(map[string]int64, len(s.Failures))
		for why, n := range s.Failures {
			failures[string(why)] = n
		}
		list[i] = TierStats{
			Index: i, Name: t.Name(), Healthy: s.Healthy,
			Breaker: BreakerState(s.Breaker), BreakerRetryIn: s.RetryIn,
			InflightCalls: s.Calls, OldestCall: s.OldestCall, Pins: s.Pins,
			UsedBytes: s.UsedBytes, CapacityBytes: s.Capacity, Full: s.Bounded && s.Capacity == 0, Objects: s.Objects, BytesBySalt: s.BytesBySalt, ScanComplete: s.Complete,
			WrittenBytes: s.Written, ReadBytes: s.Read, Corrupt: s.Corrupt, FailuresByReason: failures,
			BreakerReason: s.Reason, QueuedLoads: s.QueuedLoads, QueuedStores: s.QueuedStores, ReservedBytes: s.Reserved,
			Retries: s.Retries, Evicted: s.Evicted, Raw: s.Raw, Details: s.Details,
		}
		list[i].describe(&m.o.Tiers[i])
	}
	m.stores.mu.Lock()
	for i := range list {
		list[i].InflightStores = m.stores.mu.tiers[i].tasks
	}
	m.stores.mu.Unlock()
	m.fetches.mu.Lock()
	defer m.fetches.mu.Unlock()
	for i := range list {
		list[i].InflightLoads, list[i].InflightLoadBytes = m.fetches.mu.inflight[i], m.fetches.mu.planned[i]
	}
	return list
}

// storeStats is the state of the store controller.
func (m *Manager) storeStats() (s StoreStats) {
	c := m.stores
	if c == nil {
		return s
	}
	for _, t := range m.tiers {
		s.Retries += t.Stats().Retries
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := m.rt.Now()
	s.Pending, s.InflightBytes, s.Dropped = c.mu.waiting, c.mu.inflight, c.mu.drops.keys
	for i := range c.mu.tiers {
		s.Tasks += c.mu.tiers[i].tasks
	}
	if c.mu.head != nil {
		s.Oldest = max(0, now.Sub(c.mu.head.at))
		s.Stalled = max(0, now.Sub(c.mu.lately))
	}
	return s
}

// prefetchStats is the state of the prefetch controller.
func (m *Manager) prefetchStats() (s PrefetchStats) {
	c := m.fetches
	if c == nil {
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s = PrefetchStats{
		MaxInflight: m.o.Prefetch.MaxInflight, Queued: len(c.mu.queue), Lookup: c.mu.looking, Waiting: len(c.mu.ready),
		Load: c.mu.loading, Completed: c.mu.completed, InflightBytes: c.mu.bytes, Deadlines: c.mu.deadlines, Joined: c.mu.joined,
	}
	for _, f := range c.mu.active {
		if f.resolved {
			s.Draining++
		}
	}
	if len(c.mu.active) > 0 {
		s.Stalled = max(0, m.rt.Now().Sub(c.mu.lately))
	}
	return s
}
