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
	Sessions           int // open and dormant
	SessionStates      SessionStats
	Liveness           LivenessStats
	Quarantined        int   // leases of detached workers whose clients may still use the memory
	ActivePrefetchJobs int64 // lookups whose result was neither delivered nor dropped
	Workers            []WorkerStats
	HostWorkers        []HostWorkerStats
	Loops              []LoopStats // in the background, those of Storage included
	Models             []string    // with a worker attached, sorted
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
	ObjectBytes        int64 // one chunk, all object groups
	KernelGroups       []KernelGroupStats
	Healthy            bool // false: the device has failed for good, transfers are refused
	PinnedBytes        int64
	UnpinnedBytes      int64 // memory that the device refused to pin: copies of it are slow
	StoresSubmitted    int64
	StoresFinished     int64
	RetrievesSubmitted int64
	RetrievesFinished  int64
	InFlight           int64          // submitted and not finished
	Instance           *InstanceStats // nil: embedded
}

// KernelGroupStats describes layers of a worker's paged cache that are copied as one.
type KernelGroupStats struct {
	ObjectGroup  int // that they are a part of
	EngineGroup  int // index of their block table
	Layers       int
	Blocks       int // per layer
	BlockTokens  int
	Heads        int
	HeadSize     int // elements
	DType        string
	Format       gpu.Format
	WindowChunks int // of their object group; 0: full attention
	Recurrent    bool
}

// HostWorkerStats is the state of one HostWorker. Counts are of transfers since
// AttachHost.
type HostWorkerStats struct {
	EngineID           string // the worker's ID, as in events
	Model              string
	WorldSize          int
	Rank               int    // of an embedded worker
	Layout             string // of the object of one chunk
	ObjectBytes        int64
	BlockTokens        int  // of the client's paged cache; 0: not known
	MLA                bool // one plane instead of K and V
	Shared             bool
	PendingStores      int // reservations that hold memory
	LentReads          int
	StoresSubmitted    int64
	StoresFinished     int64
	RetrievesSubmitted int64
	RetrievesFinished  int64
	Instance           *InstanceStats // nil: embedded
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
	s.SessionStates, s.Liveness, s.Quarantined = e.table.stats(), e.remote.stats(), e.kept.len()
	s.Sessions = s.SessionStates.Open + s.SessionStates.Dormant
	e.mu.Lock()
	s.Models, s.Closed = e.modelsLocked(), e.mu.closed
	workers, hosts := slices.Clone(e.mu.workers), slices.Clone(e.mu.hosts)
	e.mu.Unlock()
	s.Loops = e.loops(s.Storage.Loops, workers)
	s.Workers = make([]WorkerStats, len(workers))
	for i, w := range workers {
		s.Workers[i] = w.stats()
	}
	for _, h := range hosts {
		s.HostWorkers = append(s.HostWorkers, h.stats())
	}
	return s
}

// stats is the worker's part of Engine.Stats.
func (h *HostWorker) stats() HostWorkerStats {
	s := HostWorkerStats{
		EngineID: h.id, Model: h.key.model, WorldSize: h.key.world, Rank: h.rank, Layout: h.o.Layout.String(),
		ObjectBytes: h.objectBytes(), BlockTokens: h.blockTokens, MLA: h.mla, Shared: h.o.Shared, Instance: h.e.remote.of(h.o.Instance, h),
		StoresFinished: h.counts.stored.finished.Load(), RetrievesFinished: h.counts.loaded.finished.Load(), // before submitted: never more
	}
	s.StoresSubmitted, s.RetrievesSubmitted = h.counts.stored.submitted.Load(), h.counts.loaded.submitted.Load()
	h.mu.Lock()
	defer h.mu.Unlock()
	s.PendingStores, s.LentReads = len(h.mu.stores), len(h.mu.reads)
	return s
}

// stats is the worker's part of Engine.Stats.
func (w *Worker) stats() WorkerStats {
	s := WorkerStats{
		EngineID: w.id, Model: w.key.model, WorldSize: w.key.world, Rank: w.rank, Device: w.device,
		ObjectBytes: w.objectBytes(), KernelGroups: w.kernelGroups(), Healthy: !w.failed.Load(), Instance: w.e.remote.of(w.o.Instance, w),
		StoresFinished: w.stored.finished.Load(), RetrievesFinished: w.loaded.finished.Load(), // before submitted: never more
	}
	s.PinnedBytes, s.UnpinnedBytes = w.pins.Bytes()
	s.StoresSubmitted, s.RetrievesSubmitted = w.stored.submitted.Load(), w.loaded.submitted.Load()
	s.InFlight = s.StoresSubmitted - s.StoresFinished + s.RetrievesSubmitted - s.RetrievesFinished
	return s
}

// kernelGroups describes the paged cache, in the cache's order.
func (w *Worker) kernelGroups() []KernelGroupStats {
	list := make([]KernelGroupStats, len(w.o.Cache.Groups))
	for i := range w.groups {
		o := &w.groups[i]
		for _, p := range o.parts {
			g := &w.o.Cache.Groups[p.group]
			list[p.group] = KernelGroupStats{
				ObjectGroup: int(o.id), EngineGroup: g.EngineGroup, Layers: g.LayerCount(), Blocks: g.Blocks, BlockTokens: g.BlockTokens,
				Heads: g.Heads, HeadSize: g.HeadSize, DType: string(g.DType), Format: g.Format, WindowChunks: o.window, Recurrent: o.recurrent,
			}
		}
	}
	return list
}
