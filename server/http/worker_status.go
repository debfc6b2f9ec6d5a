package httpserver

import (
	"strconv"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
)

// livenessStatus is what becomes of remote workers that are silent. Workers of this
// process belong to it and leave when they are closed.
type livenessStatus struct {
	Enabled          bool    `json:"enabled"`
	ReapTimeout      float64 `json:"reap_timeout_seconds"`
	Grace            float64 `json:"registration_grace_seconds"`
	TrackedInstances int     `json:"tracked_instances"`
	Reaped           int64   `json:"reaped_total"`
}

func newLiveness(s lmcache.LivenessStats) livenessStatus {
	return livenessStatus{
		Enabled: s.ReapTimeout > 0, ReapTimeout: s.ReapTimeout.Seconds(), Grace: s.RegistrationGrace.Seconds(),
		TrackedInstances: s.Instances, Reaped: s.Reaped,
	}
}

// sessionStatus is the sessions by state.
type sessionStatus struct {
	Open      int   `json:"open"`
	Dormant   int   `json:"dormant"`
	Abandoned int64 `json:"abandoned_total"`
	KeptBytes int64 `json:"kept_bytes"`
}

func newSessions(s lmcache.SessionStats) sessionStatus {
	return sessionStatus{Open: s.Open, Dormant: s.Dormant, Abandoned: s.Abandoned, KeptBytes: s.KeptBytes}
}

// contextMeta describes a worker whose device we copy from, as LMCache does.
type contextMeta struct {
	ModelName string   `json:"model_name"`
	WorldSize int      `json:"world_size"`
	Layout    kvLayout `json:"kv_cache_layout"`
}

// hostMeta describes a worker whose host copies, as LMCache does.
type hostMeta struct {
	ModelName string `json:"model_name"`
	WorldSize int    `json:"world_size"`
	BlockSize int    `json:"block_size"`
	UseMLA    bool   `json:"use_mla"`
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
	WindowChunks  int    `json:"window_chunks"`
	Recurrent     bool   `json:"recurrent"`
}

// workerStatus is what the engine counts of one worker.
type workerStatus struct {
	Plane              string     `json:"plane"`
	ModelName          string     `json:"model_name"`
	WorldSize          int        `json:"world_size"`
	Rank               int        `json:"rank"`
	Device             string     `json:"device"`
	IsHealthy          bool       `json:"is_healthy"`
	ObjectBytes        int64      `json:"object_bytes"`
	PinnedBytes        int64      `json:"pinned_bytes"`
	UnpinnedBytes      int64      `json:"unpinned_bytes"`
	InFlight           int64      `json:"in_flight"`
	PendingStores      int        `json:"pending_stores"`
	LentReads          int        `json:"lent_reads"`
	StoresSubmitted    int64      `json:"stores_submitted"`
	StoresFinished     int64      `json:"stores_finished"`
	RetrievesSubmitted int64      `json:"retrieves_submitted"`
	RetrievesFinished  int64      `json:"retrieves_finished"`
	LastSeen           *time.Time `json:"last_seen"` // null: it lives in this process
	Pinged             bool       `json:"ever_pinged"`
}

// addWorker adds a worker whose device we copy from.
func (st *status) addWorker(w *lmcache.WorkerStats, chunkTokens int) {
	if id, err := strconv.ParseInt(w.EngineID, 10, 64); err == nil {
		st.GPUIDs = append(st.GPUIDs, id)
	}
	st.ContextMeta[w.EngineID] = contextMeta{ModelName: w.Model, WorldSize: w.WorldSize, Layout: newKVLayout(w, chunkTokens)}
	s := workerStatus{
		Plane: "lmcache_driven", ModelName: w.Model, WorldSize: w.WorldSize, Rank: w.Rank, Device: w.Device, IsHealthy: w.Healthy,
		ObjectBytes: w.ObjectBytes, PinnedBytes: w.PinnedBytes, UnpinnedBytes: w.UnpinnedBytes, InFlight: w.InFlight,
		StoresSubmitted: w.StoresSubmitted, StoresFinished: w.StoresFinished,
		RetrievesSubmitted: w.RetrievesSubmitted, RetrievesFinished: w.RetrievesFinished,
	}
	s.instance(w.Instance)
	st.Instances[w.EngineID] = s
}

// addHost adds a worker whose host copies.
func (st *status) addHost(w *lmcache.HostWorkerStats) {
	if id, err := strconv.ParseInt(w.EngineID, 10, 64); err == nil {
		st.HostIDs = append(st.HostIDs, id)
	}
	st.HostMeta[w.EngineID] = hostMeta{ModelName: w.Model, WorldSize: w.WorldSize, BlockSize: w.BlockTokens, UseMLA: w.MLA}
	s := workerStatus{
		Plane: "engine_driven", ModelName: w.Model, WorldSize: w.WorldSize, Rank: w.Rank, Device: "host", IsHealthy: true,
		ObjectBytes: w.ObjectBytes, InFlight: int64(w.PendingStores + w.LentReads), PendingStores: w.PendingStores, LentReads: w.LentReads,
		StoresSubmitted: w.StoresSubmitted, StoresFinished: w.StoresFinished,
		RetrievesSubmitted: w.RetrievesSubmitted, RetrievesFinished: w.RetrievesFinished,
	}
	s.instance(w.Instance)
	st.Instances[w.EngineID] = s
}

func (s *workerStatus) instance(i *lmcache.InstanceStats) {
	if i != nil {
		seen := i.LastSeen.UTC()
		s.LastSeen, s.Pinged = &seen, i.Pinged
	}
}

// newKVLayout describes the paged cache of a worker. Layers are numbered in the
// order of the kernel groups.
func newKVLayout(w *lmcache.WorkerStats, chunkTokens int) kvLayout {
	l := kvLayout{KernelGroups: make([]kernelGroup, len(w.KernelGroups))}
	for i, k := range w.KernelGroups {
		g := kernelGroup{
			Index: i, EngineGroup: k.EngineGroup, ObjectGroup: k.ObjectGroup, NumLayers: k.Layers, Layers: make([]int, k.Layers),
			TokensPer: k.BlockTokens, SlotsPer: k.BlockTokens, DType: "torch." + k.DType, IsMLA: isMLA(k.Format), Format: string(k.Format),
			Shape: k.Format.Shape(), WindowChunks: k.WindowChunks, Recurrent: k.Recurrent,
		}
		for j := range g.Layers {
			g.Layers[j] = l.NumLayers + j
		}
		l.NumLayers += k.Layers
		l.NumBlocks = max(l.NumBlocks, k.Blocks)
		g.ConcreteShape = strings.NewReplacer("NL", strconv.Itoa(k.Layers), "NBBS", strconv.Itoa(k.Blocks*k.BlockTokens),
			"NB", strconv.Itoa(k.Blocks), "BS", strconv.Itoa(k.BlockTokens), "NH", strconv.Itoa(k.Heads),
			"HS", strconv.Itoa(k.HeadSize)).Replace(g.Shape)
		if k.Format == gpu.FormatTwoNBBSNHHS {
			g.Attention = "vLLM non-MLA flash attention"
		}
		l.KernelGroups[i] = g
	}
	if chunkTokens > 0 {
		l.CacheSizePerToken = w.ObjectBytes / int64(chunkTokens)
	}
	return l
}

// isMLA reports whether a format keeps one latent in place of K and V.
func isMLA(f gpu.Format) bool {
	g := gpu.Group{Format: f}
	return g.Planes() == 1
}
