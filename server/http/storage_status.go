package httpserver

import (
	"time"

	"github.com/lmcache-go/lmcache"
)

// theOne is the name under which LMCache's tools look for an object that exists once.
const theOne = "_default"

// storageStatus is the storage manager in /status. The objects that LMCache keeps
// by name are there twice, as its tools of different age expect.
type storageStatus struct {
	IsHealthy           bool                      `json:"is_healthy"`
	L1Managers          map[string]l1Status       `json:"l1_managers"`
	EvictionControllers map[string]evictionStatus `json:"l1_eviction_controllers"`
	StoreController     storeStatus               `json:"store_controller"`
	StoreControllers    map[string]storeStatus    `json:"store_controllers"`
	PrefetchController  prefetchStatus            `json:"prefetch_controller"`
	TierEvictions       tierEvictions             `json:"l2_eviction_controller"`
	L2Adapters          []tierStatus              `json:"l2_adapters"`
	NumL2Adapters       int                       `json:"num_l2_adapters"`
	L1Usage             [2]int64                  `json:"l1_usage"` // used, total
	CapacityByBackend   map[string]int64          `json:"l1_capacity_bytes_by_backend"`
	L1Manager           l1Status                  `json:"l1_manager"`
	EvictionController  evictionStatus            `json:"l1_eviction_controller"`
	Eviction            policyStatus              `json:"eviction_controller"`
	BootID              string                    `json:"boot_id"`
	Closed              bool                      `json:"closed"`
}

// l1Status is host memory in /status. Bytes are physical.
type l1Status struct {
	IsHealthy         bool             `json:"is_healthy"`
	TotalObjects      int64            `json:"total_object_count"`
	WriteLocked       int64            `json:"write_locked_count"`
	ReadLocked        int64            `json:"read_locked_count"`
	Temporary         int64            `json:"temporary_count"`
	StagingObjects    int64            `json:"staging_object_count"`
	StagingBytes      int64            `json:"staging_bytes"`
	UsedBytes         int64            `json:"memory_used_bytes"`
	TotalBytes        int64            `json:"memory_total_bytes"`
	CapacityByBackend map[string]int64 `json:"capacity_bytes_by_backend"`
	UsageRatio        float64          `json:"memory_usage_ratio"`
	WriteTTL          float64          `json:"write_ttl_seconds"`
	ReadTTL           float64          `json:"read_ttl_seconds"`
	StagedBytes       int64            `json:"staged_bytes"`
	LeasedBytes       int64            `json:"leased_bytes"`
	OrphanedBytes     int64            `json:"orphaned_bytes"`
	EvictableBytes    int64            `json:"evictable_bytes"`
	LargestFreeBytes  int64            `json:"largest_free_block_bytes"`
	SizeClasses       int              `json:"size_classes"`
	Leases            int              `json:"leases"`
	LeasesExpired     int64            `json:"leases_expired_total"`
	IndexBytes        int64            `json:"index_bytes"`
	BytesBySalt       map[string]int64 `json:"bytes_by_cache_salt"`
	QuotaBySalt       map[string]int64 `json:"quota_by_cache_salt"`
	memoryStatus
}

// evictionStatus is L1's eviction in /status.
type evictionStatus struct {
	IsHealthy      bool     `json:"is_healthy"`
	ThreadAlive    bool     `json:"thread_alive"`
	EvictionPolicy string   `json:"eviction_policy"`
	Watermark      float64  `json:"trigger_watermark"`
	Ratio          float64  `json:"eviction_ratio"`
	Policy         string   `json:"policy"`
	Mode           string   `json:"mode"`
	Objects        int64    `json:"evicted_objects_total"`
	Bytes          int64    `json:"evicted_bytes_total"`
	PrefixBreaks   int64    `json:"prefix_breaks_total"`
	Denied         int64    `json:"denied_objects_total"`
	DeniedByQuota  int64    `json:"denied_by_quota_total"`
	Waits          int64    `json:"waits_total"`
	WaitsInVain    int64    `json:"waits_in_vain_total"`
	PolicyFailures int64    `json:"policy_failures_total"`
	Problem        string   `json:"problem"`                   // empty: none
	LastAge        *float64 `json:"last_eviction_age_seconds"` // null: none yet
}

// policyStatus is what LMCache's describe command reads.
type policyStatus struct {
	EvictionPolicy string `json:"eviction_policy"`
}

func newStorageStatus(s lmcache.Stats, now time.Time) storageStatus {
	m := s.Storage.L1
	open := !s.Storage.Closed
	dram := map[string]int64{"dram": m.CapacityBytes}
	mem := l1Status{
		IsHealthy: open, TotalObjects: m.Objects + m.WritingObjects, WriteLocked: m.WritingObjects, ReadLocked: m.ReadingObjects,
		StagingObjects: m.WritingObjects, StagingBytes: m.StagedBytes, UsedBytes: m.UsedBytes, TotalBytes: m.CapacityBytes,
		CapacityByBackend: dram, WriteTTL: m.WriteTTL.Seconds(), ReadTTL: m.ReadTTL.Seconds(),
		StagedBytes: m.StagedBytes, LeasedBytes: m.LeasedBytes, OrphanedBytes: m.OrphanedBytes, EvictableBytes: m.EvictableBytes,
		LargestFreeBytes: m.LargestFreeBytes, SizeClasses: m.SizeClasses, Leases: m.Leases, LeasesExpired: m.LeasesExpired,
		IndexBytes: m.IndexBytes, BytesBySalt: m.BytesBySalt, memoryStatus: newMemoryStatus(&m, now),
	}
	if mem.BytesBySalt == nil {
		mem.BytesBySalt = map[string]int64{}
	}
	mem.QuotaBySalt = make(map[string]int64, len(m.Quotas))
	for _, q := range m.Quotas {
		mem.QuotaBySalt[q.Salt] = q.Bytes
	}
	if m.CapacityBytes > 0 {
		mem.UsageRatio = float64(m.UsedBytes) / float64(m.CapacityBytes)
	}
	problem := m.EvictionHealth(now)
	evict := evictionStatus{
		IsHealthy: open && problem == "", ThreadAlive: open && !m.EvictorStuck(now), Problem: problem,
		EvictionPolicy: m.Policy, Watermark: m.Watermark, Ratio: m.EvictionRatio, Policy: m.Policy, Mode: string(m.Mode),
		Objects: m.EvictedObjects, Bytes: m.EvictedBytes, PrefixBreaks: m.PrefixBreaks, Denied: m.DeniedObjects,
		DeniedByQuota: m.DeniedByQuota, Waits: m.Waits, WaitsInVain: m.WaitsInVain, PolicyFailures: m.PolicyFailures,
	}
	if !m.LastEviction.IsZero() {
		age := max(now.Sub(m.LastEviction), 0).Seconds()
		evict.LastAge = &age
	}
	stores, fetches := newStoreStatus(&s), newPrefetchStatus(&s)
	tiers := make([]tierStatus, len(s.Storage.Tiers))
	ok := open && evict.IsHealthy && stores.IsHealthy && fetches.IsHealthy
	for i := range tiers {
		tiers[i] = newTierStatus(&s.Storage.Tiers[i])
		ok = ok && tiers[i].IsHealthy
	}
	return storageStatus{
		IsHealthy: ok, L1Managers: map[string]l1Status{theOne: mem}, EvictionControllers: map[string]evictionStatus{theOne: evict},
		StoreController: stores, StoreControllers: map[string]storeStatus{theOne: stores}, PrefetchController: fetches, TierEvictions: newTierEvictions(&s),
		L2Adapters: tiers, NumL2Adapters: len(tiers), L1Usage: [2]int64{m.UsedBytes, m.CapacityBytes}, CapacityByBackend: dram,
		L1Manager: mem, EvictionController: evict, Eviction: policyStatus{m.Policy}, BootID: s.BootID, Closed: s.Storage.Closed,
	}
}
