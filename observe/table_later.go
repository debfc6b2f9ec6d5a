package observe

import "fmt"

// Compat chooses which Prometheus names of metrics a scrape has. The zero value is
// CompatNone.
type Compat string

// Values of Compat.
const (
	CompatNone  Compat = "none"
	CompatLater Compat = "later" // those of later releases of LMCache as well
)

// Validate says what is wrong with c, if anything.
func (c Compat) Validate() error {
	switch c {
	case "", CompatNone, CompatLater:
		return nil
	}
	return fmt.Errorf("compat: %q is neither %q nor %q", string(c), CompatNone, CompatLater)
}

// laterNames are the Prometheus names of later releases of LMCache by OTel name,
// where they differ.
func laterNames() map[string]string {
	return map[string]string{
		nameL1Read:            "lmcache_mp_l1_read_chunks_total",
		nameL1Write:           "lmcache_mp_l1_write_chunks_total",
		nameL1Evicted:         "lmcache_mp_l1_evicted_chunks_total",
		nameReuseChunks:       "lmcache_mp_real_reuse_gap_objects",
		nameL2StoreTasks:      "lmcache_mp_l2_store_submitted_requests_total",
		nameL2StoreKeys:       "lmcache_mp_l2_store_submitted_objects_chunks_total",
		nameL2StoreCompleted:  "lmcache_mp_l2_store_completed_requests_total",
		nameL2StoreSucceeded:  "lmcache_mp_l2_store_completed_objects_chunks_total",
		nameL2Lookups:         "lmcache_mp_l2_prefetch_lookup_requests_total",
		nameL2LookupKeys:      "lmcache_mp_l2_prefetch_lookup_objects_chunks_total",
		nameL2LoadTasks:       "lmcache_mp_l2_prefetch_load_submitted_requests_total",
		nameL2LoadKeys:        "lmcache_mp_l2_prefetch_load_submitted_objects_chunks_total",
		nameL2Loaded:          "lmcache_mp_l2_prefetch_load_completed_chunks_total",
		nameL2LoadCompleted:   "lmcache_mp_l2_load_completed_requests_total",
		nameAllocFailure:      "lmcache_mp_l1_allocation_failure_chunks_total",
		nameReadFailure:       "lmcache_mp_l1_read_failure_chunks_total",
		nameL2PrefetchFailure: "lmcache_mp_l2_prefetch_failure_chunks_total",
		nameL0L1Store:         "lmcache_mp_l0_l1_store_throughput_GB_per_second",
		nameL0L1Load:          "lmcache_mp_l0_l1_load_throughput_GB_per_second",
		nameL2StoreSpeed:      "lmcache_mp_l2_store_throughput_GB_per_second",
		nameL2LoadSpeed:       "lmcache_mp_l2_load_throughput_GB_per_second",
		nameLookups:           "lmcache_mp_lookups_requests_total",
		nameEarlyExit:         "lmcache_mp_lookup_early_exit_requests_total",
		nameL2Evicted:         "lmcache_mp_l2_evicted_objects_chunks_total",
	}
}
