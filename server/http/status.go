package httpserver

import (
	"fmt"
	"time"

	"github.com/lmcache-go/lmcache"
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
	Sessions           sessionStatus           `json:"sessions"`
	GPUIDs             []int64                 `json:"registered_gpu_ids"`
	ContextMeta        map[string]contextMeta  `json:"cache_context_meta"`
	HostIDs            []int64                 `json:"registered_non_cuda_instance_ids"`
	HostMeta           map[string]hostMeta     `json:"non_cuda_context_meta"`
	Quarantined        int                     `json:"quarantined_leases"`
	Implementation     string                  `json:"implementation"`
	Version            string                  `json:"version"`
	BootID             string                  `json:"boot_id"`
	StartedAt          time.Time               `json:"started_at"`
	Ready              bool                    `json:"ready"`
	Listeners          map[string]string       `json:"listeners"`
	Instances          map[string]workerStatus `json:"instances"`
}

// healthy says whether the engine can be used, and why not.
func healthy(s lmcache.Stats, now time.Time) (ok bool, why string) {
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
	if why := s.Storage.L1.EvictionHealth(now); why != "" {
		return false, why
	}
	return true, ""
}

// newStatus arranges s for /status. What the server knows itself is left empty.
func newStatus(s lmcache.Stats, now time.Time) status {
	ok, _ := healthy(s, now)
	st := status{
		IsHealthy: ok, EngineType: "MPCacheServer", ChunkSize: s.ChunkTokens, HashAlgorithm: s.HashAlgorithm,
		ActiveSessions: s.Sessions, StorageManager: newStorageStatus(s, now), ActivePrefetchJobs: s.ActivePrefetchJobs,
		P2PState: "unregistered", P2PPeers: []string{}, WorkerLiveness: newLiveness(s.Liveness),
		Sessions: newSessions(s.SessionStates), GPUIDs: []int64{}, ContextMeta: make(map[string]contextMeta), HostIDs: []int64{},
		HostMeta: make(map[string]hostMeta), Quarantined: s.Quarantined, Implementation: "lmcache-go",
		BootID: s.BootID, StartedAt: s.StartedAt.UTC(), Instances: make(map[string]workerStatus),
	}
	for i := range s.Workers {
		st.addWorker(&s.Workers[i], s.ChunkTokens)
	}
	for i := range s.HostWorkers {
		st.addHost(&s.HostWorkers[i])
	}
	return st
}
