package lmcache

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/storage"
)

// Stats is the state of an Engine at one moment. It is a value: nothing in it
// changes afterwards.
type Stats struct {
	Storage            storage.Stats
	Sessions           int   // open
	ActivePrefetchJobs int64 // lookups whose result was neither delivered nor dropped
	Workers            []WorkerStats
	Models             []string // with a worker attached, sorted
	ChunkTokens        int
	HashAlgorithm      string
	BootID             string
	StartedAt          time.Time
	Closed             bool
}

// WorkerStats is the state of one Worker. Counts are of transfers since Attach.
type WorkerStats struct {
	EngineID           string // the worker's ID, as in events
	Model              string
	WorldSize          int
	Rank               int
	Device             string
	Layers             int
	Blocks             int   // per layer
	ObjectBytes        int64 // one chunk
	ChunkBlocks        int   // blocks of one chunk
	BlockTokens        int
	Heads              int
	HeadSize           int // elements
	DType              string
	Format             gpu.Format
	Groups             int  // kernel groups; the geometry above is that of the first, Layers those of all
	Healthy            bool // false: the device has failed for good, transfers are refused
	PinnedBytes        int64
	UnpinnedBytes      int64 // memory that the device refused to pin: copies of it are slow
	StoresSubmitted    int64
	StoresFinished     int64
	RetrievesSubmitted int64
	RetrievesFinished  int64
	InFlight           int64 // submitted and not finished
}

// transfers counts one kind of transfer of a worker.
type transfers struct{ submitted, finished atomic.Int64 }

// Stats returns the current state. Its cost grows with the number of workers, of
// tenants and of open leases, not with that of objects or sessions. It also works
// after Close.
func (e *Engine) Stats() Stats {
	s := Stats{
		Storage: e.sm.Stats(), ActivePrefetchJobs: e.jobs.Load(), ChunkTokens: e.o.ChunkTokens,
		HashAlgorithm: e.hasher.Name(), BootID: e.bootID, StartedAt: e.began,
	}
	e.mu.Lock()
	workers := slices.Clone(e.mu.workers)
	s.Sessions, s.Models, s.Closed = len(e.mu.sessions), e.modelsLocked(), e.mu.closed
	e.mu.Unlock()
	s.Workers = make([]WorkerStats, len(workers))
	for i, w := range workers {
		s.Workers[i] = w.stats()
	}
	return s
}

// stats is the worker's part of Engine.Stats.
func (w *Worker) stats() WorkerStats {
	g := &w.o.Cache.Groups[0]
	s := WorkerStats{
		EngineID: w.id, Model: w.key.model, WorldSize: w.key.world, Rank: w.rank, Device: w.device,
		Blocks: g.Blocks, ObjectBytes: w.objectBytes(), ChunkBlocks: w.groups[0].parts[0].per, BlockTokens: g.BlockTokens,
		Heads: g.Heads, HeadSize: g.HeadSize, DType: string(g.DType), Format: g.Format, Groups: len(w.o.Cache.Groups),
		Healthy:        !w.failed.Load(),
		StoresFinished: w.stored.finished.Load(), RetrievesFinished: w.loaded.finished.Load(), // before submitted: never more
	}
	s.PinnedBytes, s.UnpinnedBytes = w.pins.Bytes()
	s.StoresSubmitted, s.RetrievesSubmitted = w.stored.submitted.Load(), w.loaded.submitted.Load()
	s.InFlight = s.StoresSubmitted - s.StoresFinished + s.RetrievesSubmitted - s.RetrievesFinished
	for i := range w.o.Cache.Groups {
		s.Layers += w.o.Cache.Groups[i].LayerCount()
	}
	return s
}
