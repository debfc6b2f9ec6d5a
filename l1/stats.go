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
	LastEviction   time.Time
}

// Stats is the state of a Manager at one moment. Bytes are physical unless said
// otherwise.
type Stats struct {
	CapacityBytes    int64
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
		EvictableBytes: c.EvictableBytes, EvictedObjects: c.EvictedObjects, EvictedBytes: c.EvictedBytes,
		EvictionRuns: c.EvictionRuns, PrefixBreaks: c.PrefixBreaks, LeasesExpired: c.LeasesExpired,
		LastEviction: c.LastEviction, SizeClasses: len(m.mu.arena.SizeClasses()),
		BytesBySalt: make(map[string]int64), Policy: m.o.Policy, Mode: ModeExact, Watermark: 1,
		WriteTTL: m.o.WriteTTL, ReadTTL: m.o.ReadTTL,
	}
	if _, ok := m.mu.policy.(policy.Noop); ok {
		s.EvictableBytes = 0
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
