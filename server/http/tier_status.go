package httpserver

import (
	"maps"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/storage"
)

// storeStatus is the storing in outer tiers in /status.
type storeStatus struct {
	IsHealthy     bool    `json:"is_healthy"`
	ThreadAlive   bool    `json:"thread_alive"`
	Pending       int     `json:"pending_keys_count"`
	Tasks         int     `json:"in_flight_task_count"`
	NumL2Adapters int     `json:"num_l2_adapters"`
	InflightBytes int64   `json:"in_flight_bytes"`
	Dropped       int64   `json:"dropped_total"`
	Retries       int64   `json:"retries_total"`
	Oldest        float64 `json:"oldest_pending_age_seconds"`
}

// prefetchStatus is the loading from outer tiers in /status.
type prefetchStatus struct {
	IsHealthy     bool  `json:"is_healthy"`
	ThreadAlive   bool  `json:"thread_alive"`
	MaxInflight   int   `json:"max_in_flight"`
	Submitted     int   `json:"submission_queue_size"`
	Pending       int   `json:"pending_queue_size"`
	Inflight      int   `json:"in_flight_request_count"`
	Lookup        int   `json:"lookup_phase_count"`
	Load          int   `json:"load_phase_count"`
	Completed     int64 `json:"completed_results_count"`
	NumL2Adapters int   `json:"num_l2_adapters"`
	InflightBytes int64 `json:"in_flight_bytes"`
	Draining      int   `json:"draining_count"`
	Deadlines     int64 `json:"deadline_total"`
	Joined        int64 `json:"joined_total"`
}

// tierEvictions is the eviction of outer tiers in /status.
type tierEvictions struct {
	IsHealthy bool           `json:"is_healthy"`
	Adapters  []tierEviction `json:"adapters"`
}

type tierEviction struct {
	Index    int     `json:"adapter_index"`
	Policy   string  `json:"policy"`
	Trigger  float64 `json:"trigger_watermark"`
	Ratio    float64 `json:"eviction_ratio"`
	Usage    float64 `json:"usage_fraction"` // -1: unknown
	Used     int64   `json:"used_bytes"`
	Capacity int64   `json:"capacity_bytes"`
	NumSalts int     `json:"num_cache_salts"`
}

// tierStatus is one outer tier in /status. What its adapter has found out about itself
// stands beside under the adapter's own names.
type tierStatus struct {
	IsHealthy      bool             `json:"is_healthy"`
	Type           string           `json:"type"`
	Index          int              `json:"adapter_index"`
	Name           string           `json:"name"`
	BasePath       any              `json:"base_path,omitempty"`
	Stored         int64            `json:"stored_object_count"`
	Current        int64            `json:"current_size_bytes"`
	Max            int64            `json:"max_capacity_bytes"`
	Config         map[string]any   `json:"config"`
	Format         any              `json:"format"` // null: the adapter does not say
	Used           int64            `json:"used_bytes"`
	Capacity       int64            `json:"capacity_bytes"` // 0: unknown or unlimited
	Usage          float64          `json:"usage_fraction"`
	Unbounded      bool             `json:"unbounded"`
	Objects        int64            `json:"object_count"`
	Breaker        string           `json:"breaker_state"`
	BreakerRetryIn float64          `json:"breaker_retry_in_seconds"`
	InflightCalls  int              `json:"in_flight_calls"`
	OldestCall     float64          `json:"oldest_call_age_seconds"`
	Failures       map[string]int64 `json:"failures_by_reason"`
	Corrupt        int64            `json:"corrupt_total"`
	Written        int64            `json:"bytes_written_total"`
	Read           int64            `json:"bytes_read_total"`
	DirectIO       any              `json:"direct_io"` // on, off or fallback; null: the adapter does not say
	ScanComplete   bool             `json:"scan_complete"`
	Pins           int              `json:"pins"`
	BytesBySalt    map[string]int64 `json:"bytes_by_cache_salt"`
	Details        map[string]any   `json:"details"`
}

// stuckAfter is how long something may wait without getting on.
const stuckAfter = 10 * time.Second

func newStoreStatus(s *lmcache.Stats) storeStatus {
	t := &s.Storage.Stores
	alive := !s.Storage.Closed && t.Stalled <= stuckAfter
	return storeStatus{
		IsHealthy: alive, ThreadAlive: alive, Pending: t.Pending, Tasks: t.Tasks, NumL2Adapters: len(s.Storage.Tiers),
		InflightBytes: t.InflightBytes, Dropped: t.Dropped, Retries: t.Retries, Oldest: t.Oldest.Seconds(),
	}
}

func newPrefetchStatus(s *lmcache.Stats) prefetchStatus {
	f := &s.Storage.Fetches
	alive := !s.Storage.Closed && f.Stalled <= stuckAfter
	return prefetchStatus{
		IsHealthy: alive, ThreadAlive: alive, MaxInflight: f.MaxInflight, Submitted: f.Queued, Pending: f.Waiting,
		Inflight: f.Lookup + f.Waiting + f.Load, Lookup: f.Lookup, Load: f.Load, Completed: f.Completed,
		NumL2Adapters: len(s.Storage.Tiers), InflightBytes: f.InflightBytes, Draining: f.Draining, Deadlines: f.Deadlines, Joined: f.Joined,
	}
}

func newTierEvictions(s *lmcache.Stats) tierEvictions {
	e := tierEvictions{IsHealthy: !s.Storage.Closed, Adapters: []tierEviction{}}
	for i := range s.Storage.Tiers {
		t := &s.Storage.Tiers[i]
		e.Adapters = append(e.Adapters, tierEviction{
			Index: t.Index, Policy: t.EvictionPolicy, Trigger: t.Watermark, Ratio: t.EvictionRatio, Usage: t.UsageFraction(),
			Used: t.UsedBytes, Capacity: t.CapacityBytes, NumSalts: len(t.BytesBySalt),
		})
	}
	return e
}

func newTierStatus(t *storage.TierStats) tierStatus {
	st := tierStatus{
		IsHealthy: t.Healthy, Type: t.Type, Index: t.Index, Name: t.Name, BasePath: t.Details["base_path"], Stored: t.Objects,
		Current: t.UsedBytes, Max: t.CapacityBytes, Config: map[string]any{}, Format: t.Details["format"], Used: t.UsedBytes,
		Capacity: t.CapacityBytes, Usage: t.UsageFraction(), Unbounded: t.CapacityBytes <= 0 && !t.Full, Objects: t.Objects, Breaker: string(t.Breaker),
		BreakerRetryIn: t.BreakerRetryIn.Seconds(), InflightCalls: t.InflightCalls, OldestCall: t.OldestCall.Seconds(),
		Failures: maps.Clone(t.FailuresByReason), Corrupt: t.Corrupt, Written: t.WrittenBytes, Read: t.ReadBytes, DirectIO: t.Details["direct_io"],
		ScanComplete: t.ScanComplete, Pins: t.Pins, BytesBySalt: maps.Clone(t.BytesBySalt), Details: maps.Clone(t.Details),
	}
	if st.Failures == nil {
		st.Failures = map[string]int64{}
	}
	if st.BytesBySalt == nil {
		st.BytesBySalt = map[string]int64{}
	}
	if st.Details == nil {
		st.Details = map[string]any{}
	}
	return st
}

// showConfigs adds what the program knows of the tiers' configuration.
func (st *storageStatus) showConfigs(configs []map[string]any) {
	for i := range min(len(configs), len(st.L2Adapters)) {
		if configs[i] != nil {
			st.L2Adapters[i].Config = configs[i]
		}
	}
}
