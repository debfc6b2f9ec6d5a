package l1

import "time"

// Stats is the state of a Manager at one moment. Bytes are physical unless said
// otherwise.
type Stats struct {
	CapacityBytes    int64 // the final one, also while memory is made ready
	ConfiguredBytes  int64 // more than CapacityBytes if memory could not be had
	CommittedBytes   int64 // of the configured ones, that have memory behind them; 0 with NoBytes
	PinnedBytes      int64 // that all devices have pinned; 0 without a device
	UnpinnedBytes    int64 // that a device could not pin; they are used last
	ShmName          string
	UsedBytes        int64
	LargestFreeBytes int64 // longest free range, also of memory that is not ready yet; the free room of Classes is not in it
	Objects          int64 // resident
	WritingObjects   int64 // being written
	ReadingObjects   int64 // resident and leased
	StagedBytes      int64
	LeasedBytes      int64
	OrphanedBytes    int64 // no longer in the index, still lent out
	EvictableBytes   int64
	EvictedObjects   int64
	EvictedBytes     int64 // logical
	EvictionRuns     int64 // reservations that had to look for victims
	PrefixBreaks     int64 // evictions of chunks that had a successor
	EvictedPending   int64 // evictions of objects that had to be stored in an outer tier before
	LeasesExpired    int64
	LastEviction     time.Time // zero: none yet
	DeniedObjects    int64     // keys that reservations named and that got no memory
	DeniedByQuota    int64     // those of them that a quota was in the way of
	Waits            int64     // reservations that waited for memory
	WaitsInVain      int64     // those of them that ended without all of it
	PolicyFailures   int64     // of a policy that was replaced by LRU
	LastStall        time.Time // a reservation was denied although something could be evicted; zero: never
	EvictorSince     time.Time // background eviction has work and has made no progress since; zero: no work
	Leases           int       // open
	SizeClasses      int
	Classes          []SizeClass // by size
	Shortages        int64       // reservations that ran out of memory
	LastShortage     Shortage    // the last one that was explained, one in a second at most
	BytesBySalt      map[string]int64
	Quotas           []Quota // by salt
	Policy           string
	Mode             Mode
	Watermark        float64 // usage at which background eviction begins; 1 in exact mode
	EvictionRatio    float64 // of what is tracked, per round of watermark mode; 0 in exact mode
	WriteTTL         time.Duration
	ReadTTL          time.Duration
	Loops            []LoopStats
	IndexBytes       int64 // memory of the index of chunks; records and policy come on top
}

// EvictionHealth is what is wrong with eviction; empty: nothing. That memory is
// full is not: a policy that leaves what it could evict while reservations fail
// is, and so is background work that does not get on.
func (s *Stats) EvictionHealth(now time.Time) string {
	switch {
	case !s.LastStall.IsZero() && !s.LastEviction.After(s.LastStall) && s.EvictableBytes > 0:
		return "reservations fail while there are bytes to evict"
	case s.EvictorStuck(now):
		return "background eviction makes no progress"
	}
	return ""
}

// EvictorStuck reports that background eviction has work and made no progress for
// [StaleAfter].
func (s *Stats) EvictorStuck(now time.Time) bool {
	return !s.EvictorSince.IsZero() && now.Sub(s.EvictorSince) > StaleAfter
}

// Stats returns the current state. Its cost grows with the number of tenants and
// open leases, not with that of objects.
func (m *Manager) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.mu.stats
	s.CapacityBytes, s.UsedBytes, s.LargestFreeBytes = m.mu.arena.Capacity(), m.mu.arena.Used(), m.mu.arena.LargestFree()
	s.Classes, s.LastShortage, s.ConfiguredBytes = m.classesLocked(), m.mu.shortage, m.arena.Size()
	s.SizeClasses = len(s.Classes)
	s.Policy, s.Mode, s.Watermark = m.o.Policy, m.o.Mode, m.watermark()
	s.WriteTTL, s.ReadTTL = m.o.WriteTTL, m.o.ReadTTL
	s.Quotas = m.quotasLocked()
	s.EvictorSince = m.mu.evictor.since
	s.EvictableBytes = m.evictableLocked()
	if m.o.Mode == ModeWatermark {
		s.EvictionRatio = max(0, m.o.EvictionRatio)
	}
	if g := m.mem; g != nil {
		s.CommittedBytes, s.ShmName = g.pool.Committed(), g.pool.Name()
		s.PinnedBytes, s.UnpinnedBytes = g.pinned, g.unpinned
	}
	s.BytesBySalt = make(map[string]int64)
	for _, n := range m.mu.salts.recs[1:] {
		if n.bytes != 0 {
			s.BytesBySalt[n.text] = n.bytes
		}
	}
	for _, l := range m.mu.leases[1:] {
		if l.open > 0 {
			s.Leases++
		}
	}
	s.IndexBytes = m.mu.index.bytes()
	s.Loops = m.loopsLocked()
	return s
}

// evictableLocked is how many bytes a reservation may have that no lease holds.
func (m *Manager) evictableLocked() int64 {
	if m.o.Policy == policyNoop {
		return 0
	}
	return m.mu.stats.EvictableBytes
}
