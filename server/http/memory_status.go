package httpserver

import (
	"time"

	"github.com/lmcache-go/lmcache/l1"
)

// memoryStatus is the memory behind L1 in /status.
type memoryStatus struct {
	ConfiguredBytes int64           `json:"memory_configured_bytes"`
	CommittedBytes  int64           `json:"memory_committed_bytes"`
	PinnedBytes     int64           `json:"pinned_bytes"`
	UnpinnedBytes   int64           `json:"unpinned_bytes"`
	ShmName         string          `json:"shm_name"`
	Slabs           []slabStatus    `json:"slabs"`
	Shortages       int64           `json:"out_of_memory_total"`
	LastShortage    *shortageStatus `json:"last_out_of_memory,omitempty"` // none yet: left out
}

// slabStatus is the memory of objects of one size in /status.
type slabStatus struct {
	ObjectBytes int64 `json:"object_bytes"`
	Slabs       int   `json:"slabs"`
	Used        int   `json:"used"`
	Free        int   `json:"free"`
}

// shortageStatus says in /status why a reservation ran out of memory.
type shortageStatus struct {
	AgeSeconds       float64      `json:"age_seconds"`
	Owner            string       `json:"owner"`
	Keys             int          `json:"keys"`
	RequestedBytes   int64        `json:"requested_bytes"`
	MissingBytes     int64        `json:"missing_bytes"`
	FreeBytes        int64        `json:"free_bytes"`
	LargestFreeBytes int64        `json:"largest_free_block_bytes"`
	StagedBytes      int64        `json:"staged_bytes"`
	LeasedBytes      int64        `json:"leased_bytes"`
	OrphanedBytes    int64        `json:"orphaned_bytes"`
	EvictableBytes   int64        `json:"evictable_bytes"`
	Slabs            []slabStatus `json:"slabs"`
}

func newMemoryStatus(s *l1.Stats, now time.Time) memoryStatus {
	m := memoryStatus{
		ConfiguredBytes: s.ConfiguredBytes, CommittedBytes: s.CommittedBytes, PinnedBytes: s.PinnedBytes, UnpinnedBytes: s.UnpinnedBytes,
		ShmName: s.ShmName, Slabs: newSlabStatus(s.Classes), Shortages: s.Shortages,
	}
	if s.Shortages > 0 {
		e := &s.LastShortage
		m.LastShortage = &shortageStatus{
			AgeSeconds: max(now.Sub(e.At), 0).Seconds(), Owner: e.Owner, Keys: e.Keys, RequestedBytes: e.RequestedBytes,
			MissingBytes: e.MissingBytes, FreeBytes: e.FreeBytes, LargestFreeBytes: e.LargestFreeBytes, StagedBytes: e.StagedBytes,
			LeasedBytes: e.LeasedBytes, OrphanedBytes: e.OrphanedBytes, EvictableBytes: e.EvictableBytes, Slabs: newSlabStatus(e.Classes),
		}
	}
	return m
}

func newSlabStatus(classes []l1.SizeClass) []slabStatus {
	out := make([]slabStatus, len(classes))
	for i, c := range classes {
		out[i] = slabStatus{ObjectBytes: c.Size, Slabs: c.Runs, Used: c.Used, Free: c.Free}
	}
	return out
}
