package l1

import (
	"time"

	"github.com/lmcache-go/lmcache/l1/policy"
)

// counters are kept under the mutex.
type counters struct {
	Objects        int64 // resident
	WritingObjects int64 // staged
	ReadingObjects int64 // resident and leased
	StagedBytes    int64 // physical, as all bytes here
	LeasedBytes    int64
	OrphanedBytes  int64 // no longer in the index, still lent out
	EvictableBytes int64
	EvictedObjects int64
	EvictedBytes   int64 // logical
	EvictionRuns   int64 // reservations that had to look for victims
	PrefixBreaks   int64 // evictions of chunks that had a successor
	LeasesExpired  int64
	Shortages      int64 // reservations that ran out of memory
	LastEviction   time.Time
}

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
	LargestFreeBytes int64 // largest object that fits without eviction
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
	LeasesExpired    int64
	LastEviction     time.Time // zero: none yet
	Leases           int       // open
	SizeClasses      int
	Classes          []SizeClass // by size
	Shortages        int64       // reservations that ran out of memory
	LastShortage     Shortage    // the last one that was explained, one in a second at most
	BytesBySalt      map[string]int64
	Policy           string
	Mode             Mode
	Watermark        float64 // usage at which background eviction begins; 1 in exact mode
	WriteTTL         time.Duration
	ReadTTL          time.Duration
	IndexBytes       int64 // memory of the index of chunks; records and policy come on top
}

// Stats returns the current state. Its cost grows with the number of tenants and
// open leases, not with that of objects.
func (m *Manager) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &m.mu.stats
	s := Stats{
		CapacityBytes: m.mu.arena.Capacity(), UsedBytes: m.mu.arena.Used(), LargestFreeBytes: m.mu.arena.LargestFree(),
		Objects: c.Objects, WritingObjects: c.WritingObjects, ReadingObjects: c.ReadingObjects,
		StagedBytes: c.StagedBytes, LeasedBytes: c.LeasedBytes, OrphanedBytes: c.OrphanedBytes,
		EvictableBytes: m.evictableLocked(), EvictedObjects: c.EvictedObjects, EvictedBytes: c.EvictedBytes,
		EvictionRuns: c.EvictionRuns, PrefixBreaks: c.PrefixBreaks, LeasesExpired: c.LeasesExpired,
		LastEviction: c.LastEviction, Classes: m.classesLocked(), Shortages: c.Shortages, LastShortage: m.mu.shortage,
		ConfiguredBytes: m.arena.Size(),
		BytesBySalt:     make(map[string]int64), Policy: m.o.Policy, Mode: ModeExact, Watermark: 1,
		WriteTTL: m.o.WriteTTL, ReadTTL: m.o.ReadTTL,
	}
	s.SizeClasses = len(s.Classes)
	if g := m.mem; g != nil {
		s.CommittedBytes, s.ShmName = g.pool.Committed(), g.pool.Name()
		s.PinnedBytes, s.UnpinnedBytes = g.pinned, g.unpinned
	}
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
	return s
}

// evictableLocked is how many bytes a reservation may have that no lease holds.
func (m *Manager) evictableLocked() int64 {
	if _, ok := m.mu.policy.(policy.Noop); ok {
		return 0
	}
	return m.mu.stats.EvictableBytes
}
