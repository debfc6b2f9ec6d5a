package httpserver

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
)

// status is the answer of /status. Names and order of the first fields are those
// of LMCache; features that do not exist here show their neutral value.
type status struct {
	IsHealthy          bool                    `json:"is_healthy"`
	EngineType         string                  `json:"engine_type"`
	ChunkSize          int                     `json:"chunk_size"`
	HashAlgorithm      string                  `json:"hash_algorithm"`
	ActiveSessions     int                     `json:"active_sessions"`
	StorageManager     storageStatus           `json:"storage_manager"`
	ActivePrefetchJobs int64                   `json:"active_prefetch_jobs"`
	ActiveP2PJobs      int                     `json:"active_p2p_lookup_jobs"`
	P2PEnabled         bool                    `json:"p2p_enabled"`
	P2PState           string                  `json:"p2p_state"`
	P2PPeerCount       int                     `json:"p2p_peer_count"`
	P2PPeers           []string                `json:"p2p_peers"`
	WorkerLiveness     livenessStatus          `json:"worker_liveness"`
	GPUIDs             []int64                 `json:"registered_gpu_ids"`
	ContextMeta        map[string]contextMeta  `json:"cache_context_meta"`
	Implementation     string                  `json:"implementation"`
	Version            string                  `json:"version"`
	BootID             string                  `json:"boot_id"`
	StartedAt          time.Time               `json:"started_at"`
	Ready              bool                    `json:"ready"`
	Listeners          map[string]string       `json:"listeners"`
	Instances          map[string]workerStatus `json:"instances"`
}

// livenessStatus says that idle workers are not dropped here: a worker belongs to
// this process and leaves when it is closed.
type livenessStatus struct {
	Enabled          bool    `json:"enabled"`
	ReapTimeout      float64 `json:"reap_timeout_seconds"`
	Grace            float64 `json:"registration_grace_seconds"`
	TrackedInstances int     `json:"tracked_instances"`
}

// contextMeta describes a worker as LMCache does.
type contextMeta struct {
	ModelName string   `json:"model_name"`
	WorldSize int      `json:"world_size"`
	Layout    kvLayout `json:"kv_cache_layout"`
}

type kvLayout struct {
	NumLayers         int           `json:"num_layers"`
	NumBlocks         int           `json:"num_blocks"`
	CacheSizePerToken int64         `json:"cache_size_per_token"`
	KernelGroups      []kernelGroup `json:"kernel_groups"`
}

type kernelGroup struct {
	Index         int    `json:"kernel_group_idx"`
	EngineGroup   int    `json:"engine_group_idx"`
	ObjectGroup   int    `json:"object_group_idx"`
	NumLayers     int    `json:"num_layers"`
	Layers        []int  `json:"layer_indices"`
	TokensPer     int    `json:"tokens_per_block"`
	SlotsPer      int    `json:"slots_per_block"`
	DType         string `json:"dtype"`
	ConcreteShape string `json:"engine_kv_concrete_shape"`
	IsMLA         bool   `json:"is_mla"`
	Format        string `json:"engine_kv_format"`
	Shape         string `json:"engine_kv_shape"`
	Attention     string `json:"attention_backend"`
}

// workerStatus is what the engine counts of one worker.
type workerStatus struct {
	Plane              string `json:"plane"`
	ModelName          string `json:"model_name"`
	WorldSize          int    `json:"world_size"`
	Rank               int    `json:"rank"`
	Device             string `json:"device"`
	IsHealthy          bool   `json:"is_healthy"`
	ObjectBytes        int64  `json:"object_bytes"`
	PinnedBytes        int64  `json:"pinned_bytes"`
	UnpinnedBytes      int64  `json:"unpinned_bytes"`
	InFlight           int64  `json:"in_flight"`
	StoresSubmitted    int64  `json:"stores_submitted"`
	StoresFinished     int64  `json:"stores_finished"`
	RetrievesSubmitted int64  `json:"retrieves_submitted"`
	RetrievesFinished  int64  `json:"retrieves_finished"`
}

// healthy says whether the engine can be used, and why not.
func healthy(s lmcache.Stats) (ok bool, why string) {
	switch {
	case s.Closed:
		return false, "the engine is closed"
	case s.Storage.Closed:
		return false, "the storage manager is closed"
	}
	for _, w := range s.Workers {
		if !w.Healthy {
			return false, fmt.Sprintf("the device of worker %s (%s) has failed", w.EngineID, w.Device)
		}
	}
	return true, ""
}

// newStatus arranges s for /status. What the server knows itself is left empty.
func newStatus(s lmcache.Stats, now time.Time) status {
	ok, _ := healthy(s)
	st := status{
		IsHealthy: ok, EngineType: "MPCacheServer", ChunkSize: s.ChunkTokens, HashAlgorithm: s.HashAlgorithm,
		ActiveSessions: s.Sessions, StorageManager: newStorageStatus(s, now), ActivePrefetchJobs: s.ActivePrefetchJobs,
		P2PState: "unregistered", P2PPeers: []string{}, WorkerLiveness: livenessStatus{TrackedInstances: len(s.Workers)},
		GPUIDs: []int64{}, ContextMeta: make(map[string]contextMeta, len(s.Workers)), Implementation: "lmcache-go",
		BootID: s.BootID, StartedAt: s.StartedAt.UTC(), Instances: make(map[string]workerStatus, len(s.Workers)),
	}
	for _, w := range s.Workers {
		if id, err := strconv.ParseInt(w.EngineID, 10, 64); err == nil {
			st.GPUIDs = append(st.GPUIDs, id)
		}
		st.ContextMeta[w.EngineID] = contextMeta{ModelName: w.Model, WorldSize: w.WorldSize, Layout: newKVLayout(w, s.ChunkTokens)}
		st.Instances[w.EngineID] = workerStatus{
			Plane: "lmcache_driven", ModelName: w.Model, WorldSize: w.WorldSize, Rank: w.Rank, Device: w.Device, IsHealthy: w.Healthy,
			ObjectBytes: w.ObjectBytes, PinnedBytes: w.PinnedBytes, UnpinnedBytes: w.UnpinnedBytes, InFlight: w.InFlight,
			StoresSubmitted: w.StoresSubmitted, StoresFinished: w.StoresFinished,
			RetrievesSubmitted: w.RetrievesSubmitted, RetrievesFinished: w.RetrievesFinished,
		}
	}
	return st
}

// newKVLayout describes the paged cache of w, whose layers are one kernel group.
func newKVLayout(w lmcache.WorkerStats, chunkTokens int) kvLayout {
	g := kernelGroup{
		NumLayers: w.Layers, Layers: make([]int, w.Layers), TokensPer: w.BlockTokens, SlotsPer: w.BlockTokens,
		DType: "torch." + w.DType, Format: string(w.Format),
	}
	for i := range g.Layers {
		g.Layers[i] = i
	}
	if w.Format == gpu.FormatTwoNBBSNHHS {
		g.Shape, g.Attention = "NL x [2, NB, BS, NH, HS]", "vLLM non-MLA flash attention"
		g.ConcreteShape = strings.NewReplacer("NL", strconv.Itoa(w.Layers), "NB", strconv.Itoa(w.Blocks), "BS", strconv.Itoa(w.BlockTokens),
			"NH", strconv.Itoa(w.Heads), "HS", strconv.Itoa(w.HeadSize)).Replace(g.Shape)
	}
	l := kvLayout{NumLayers: w.Layers, NumBlocks: w.Blocks, KernelGroups: []kernelGroup{g}}
	if chunkTokens > 0 {
		l.CacheSizePerToken = w.ObjectBytes / int64(chunkTokens)
	}
	return l
}
