package l1

import (
	"log/slog"
	"strconv"
	"time"
)

// Shortage explains why a reservation ran out of memory. Bytes are physical.
type Shortage struct {
	At               time.Time
	Owner            string // of the reservation
	Keys             int    // that got no memory
	RequestedBytes   int64  // by the reservation, for all keys that needed memory
	MissingBytes     int64  // of them, those that it did not get
	FreeBytes        int64
	LargestFreeBytes int64
	StagedBytes      int64
	LeasedBytes      int64
	OrphanedBytes    int64
	EvictableBytes   int64 // that no lease holds; a reservation does not evict its own chunks and those before them
	LostBytes        int64 // of the configured size, that could not be had
	Classes          []SizeClass
	Silent           int64 // shortages between the explanation before and this one
}

// SizeClass says what the objects of one size take.
type SizeClass struct {
	Size int64 // bytes of an object
	Runs int   // ranges of memory that hold such objects only
	Used int   // objects
	Free int   // further ones that fit into those ranges
}

// shortagePeriod is the least time between two explanations.
const shortagePeriod = time.Second

// shortageLocked explains a reservation that ran out of memory; false: the last
// explanation is too fresh.
func (m *Manager) shortageLocked(w *reservation) (Shortage, bool) {
	c := &m.mu.stats
	c.Shortages++
	if c.Shortages > 1 && w.at.Sub(m.mu.shortage.At) < shortagePeriod {
		m.mu.silent++
		return Shortage{}, false
	}
	phys := m.arena.Physical(w.l.layout.Size())
	a := m.mu.arena
	s := Shortage{
		At: w.at, Owner: w.l.owner, FreeBytes: a.Capacity() - a.Used(), LargestFreeBytes: a.LargestFree(),
		StagedBytes: c.StagedBytes, LeasedBytes: c.LeasedBytes, OrphanedBytes: c.OrphanedBytes, EvictableBytes: m.evictableLocked(),
		LostBytes: a.Size() - a.Capacity(), Classes: m.classesLocked(), Silent: m.mu.silent,
	}
	for i := range w.l.items {
		switch w.l.items[i].code {
		case Success:
			s.RequestedBytes += phys
		case OutOfMemory:
			s.RequestedBytes += phys
			s.MissingBytes += phys
			s.Keys++
		default:
		}
	}
	m.mu.shortage, m.mu.silent = s, 0
	return s, true
}

func (m *Manager) classesLocked() []SizeClass {
	var out []SizeClass
	for _, c := range m.mu.arena.SizeClasses() {
		out = append(out, SizeClass(c))
	}
	return out
}

// warning is the explanation on one line. The reservation may be somebody's who holds
// a mutex of its own, so the timer writes it.
func (s *Shortage) warning() warning {
	classes := make([]any, 0, len(s.Classes))
	for _, c := range s.Classes {
		classes = append(classes, slog.Group(strconv.FormatInt(c.Size, 10), slog.Int("slabs", c.Runs), slog.Int("used", c.Used), slog.Int("free", c.Free)))
	}
	return warning{slog.LevelWarn, "L1 is out of memory", []slog.Attr{
		slog.String("owner", s.Owner), slog.Int("keys", s.Keys),
		slog.Int64("requested_bytes", s.RequestedBytes), slog.Int64("missing_bytes", s.MissingBytes),
		slog.Int64("free_bytes", s.FreeBytes), slog.Int64("largest_free_bytes", s.LargestFreeBytes),
		slog.Int64("staged_bytes", s.StagedBytes), slog.Int64("leased_bytes", s.LeasedBytes),
		slog.Int64("orphaned_bytes", s.OrphanedBytes), slog.Int64("evictable_bytes", s.EvictableBytes),
		slog.Int64("lost_bytes", s.LostBytes), slog.Int64("suppressed", s.Silent),
		slog.Group("slabs_by_object_bytes", classes...),
	}}
}
