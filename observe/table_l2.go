package observe

import "github.com/lmcache-go/lmcache/storage"

// OTel names of the metrics of outer tiers.
const (
	nameL2StoreTasks      = "lmcache_mp.l2_store_tasks"
	nameL2StoreKeys       = "lmcache_mp.l2_store_keys"
	nameL2StoreCompleted  = "lmcache_mp.l2_store_completed"
	nameL2StoreSucceeded  = "lmcache_mp.l2_store_succeeded_keys"
	nameL2StoreFailed     = "lmcache_mp.l2_store_failed_keys"
	nameL2StoreDropped    = "lmcache_mp.l2_store_dropped_keys"
	nameL2Lookups         = "lmcache_mp.l2_prefetch_lookups"
	nameL2LookupKeys      = "lmcache_mp.l2_prefetch_lookup_keys"
	nameL2Hits            = "lmcache_mp.l2_prefetch_hit_keys"
	nameL2LoadTasks       = "lmcache_mp.l2_prefetch_load_tasks"
	nameL2LoadKeys        = "lmcache_mp.l2_prefetch_load_keys"
	nameL2Loaded          = "lmcache_mp.l2_prefetch_loaded_keys"
	nameL2NotLoaded       = "lmcache_mp.l2_prefetch_failed_keys"
	nameL2LoadCompleted   = "lmcache_mp.l2_load_completed"
	nameL2PrefetchFailure = "lmcache_mp.l2_prefetch_failure"
	nameL2BreakerChanges  = "lmcache_mp.l2_breaker_changes"
	nameL2BreakerState    = "lmcache_mp.l2_breaker_state"
	nameL2StoreSpeed      = "lmcache_mp.l2_store_throughput_gbs"
	nameL2LoadSpeed       = "lmcache_mp.l2_load_throughput_gbs"
	nameL2Evicted         = "lmcache_mp.l2_evicted_objects"
	nameL2Batch           = "lmcache_mp.l2_batch_size"
	nameL2Stores          = "lmcache_mp.num_inflight_l2_stores"
	nameL2Loads           = "lmcache_mp.num_inflight_l2_loads"
	nameL2LoadBytes       = "lmcache_mp.inflight_load_memory_usage_bytes"
	nameL2Usage           = "lmcache_mp.l2_usage_bytes"
	nameL2Capacity        = "lmcache_mp.l2_capacity_bytes"
	nameL2ReadWrite       = "lmcache_mp.l2_read_write_ratio"
)

const (
	keyL2      = "l2_name"
	keyAdapter = "adapter_index"
)

// breakerStates are those that the breaker of an adapter can be in.
func breakerStates() []storage.BreakerState {
	return []storage.BreakerState{storage.BreakerClosed, storage.BreakerOpen, storage.BreakerHalfOpen}
}

// breaker are the attributes of an adapter and a state of its breaker.
func breaker() []Attribute {
	state := Attribute{Key: "state"}
	for _, s := range breakerStates() {
		state.Values = append(state.Values, string(s))
	}
	return []Attribute{{Key: keyL2}, {Key: keyAdapter, Int: true}, state}
}

func l2Rows() []Metric {
	const (
		submitted = "l2.store.submitted"
		completed = "l2.store.completed"
		lookup    = "l2.prefetch.lookup.submitted"
		load      = "l2.prefetch.load.submitted"
		loaded    = "l2.prefetch.load.completed"
	)
	tier := []Attribute{{Key: keyL2}}
	counter := func(row int, name, source, value, help string, attributes ...Attribute) Metric {
		return Metric{Row: row, Name: name, Meter: meterL2, Attributes: attributes, Source: source, Value: value, Help: help}
	}
	return []Metric{
		counter(18, nameL2StoreTasks, submitted, "1", "Store tasks given to outer tiers."),
		counter(19, nameL2StoreKeys, submitted, "key_count", "Keys of store tasks given to outer tiers."),
		counter(20, nameL2StoreCompleted, completed, "1", "Store tasks that ended, successful or not. Its rate by l2_name is the tier's writes per second.", tier...),
		counter(21, nameL2StoreSucceeded, completed, "succeeded_count", "Keys that an outer tier stored."),
		counter(22, nameL2StoreFailed, completed, "failed_count", "Keys that an outer tier failed to store."),
		counter(23, nameL2Lookups, lookup, "1", "Lookups that asked outer tiers."),
		counter(24, nameL2LookupKeys, lookup, "key_count", "Keys that outer tiers were asked for."),
		counter(25, nameL2Hits, "l2.prefetch.lookup.completed", "prefix_hit_count", "Keys of the contiguous prefix that outer tiers had and L1 had memory for."),
		counter(26, nameL2LoadTasks, load, "adapter_count", "Load tasks given to outer tiers, one per prefetch and tier."),
		counter(27, nameL2LoadKeys, load, "key_count", "Keys to be loaded from outer tiers, for which L1 has memory."),
		counter(28, nameL2Loaded, loaded, "loaded_count", "Keys loaded from outer tiers."),
		counter(29, nameL2NotLoaded, loaded, "failed_count", "Keys that could not be loaded from outer tiers."),
		counter(30, nameL2LoadCompleted, "l2.load_task.completed", "1", "Load tasks that ended, one per prefetch and tier.", tier...),
		{
			Row: 33, Name: nameL2PrefetchFailure, Meter: meterHealth,
			Attributes: []Attribute{{Key: "reason", Values: []string{
				storage.ReasonL1OOM, storage.ReasonNotFound, storage.ReasonSerdeFailure, storage.ReasonIOError,
				storage.ReasonCorrupt, storage.ReasonTimeout, storage.ReasonLayoutMismatch,
			}}, model()},
			Source: "l2.prefetch.failed", Value: "keys of the model",
			Help: "Keys that an outer tier had and that were not loaded. Those without L1 memory count in l1_allocation_failure too.",
		},
		{
			Name: nameL2BreakerChanges, Meter: meterHealth, Attributes: breaker(),
			Source: "l2.adapter.state", Value: "1, for the state that begins",
			Help: "Changes of the breaker of an outer tier. Each opening is an outage, each half_open a try whether it is over.",
		},
		{
			Name: nameL2StoreDropped, Meter: meterHealth,
			Attributes: []Attribute{{Key: keyL2}, {Key: keyAdapter, Int: true}, {Key: "reason", Values: storage.DropReasons()}},
			Source:     "l2.store.dropped", Value: "key_count",
			Help: "Keys that an outer tier never got. Those with reason retries, no_space and too_large, and some with shutdown, failed in a store task and count in l2_store_failed_keys too; backlog and evicted were never in a task.",
		},
		{
			Row: 41, Name: nameL2StoreSpeed, Kind: Histogram, Float: true, Sampled: true, Unit: unitThroughput, Meter: meterPerf, Grid: ThroughputGrid,
			Attributes: tier,
			Source:     submitted + ", " + completed, Value: "bytes moved / (completion - submission)",
			Help: "Throughput of store tasks to outer tiers, in GB (10^9 bytes) per second, from submission to completion: queueing, network and disk included.",
		},
		{
			Row: 42, Name: nameL2LoadSpeed, Kind: Histogram, Float: true, Sampled: true, Unit: unitThroughput, Meter: meterPerf, Grid: ThroughputGrid,
			Attributes: tier,
			Source:     "l2.load_task.submitted, l2.load_task.completed", Value: "bytes moved / (completion - submission)",
			Help: "Throughput of load tasks from outer tiers, in GB (10^9 bytes) per second, from submission to completion: queueing, network and disk included.",
		},
		{
			Name: nameL2Evicted, Meter: meterExt, Attributes: []Attribute{salt()},
			Source: "l2.keys.evicted", Value: "keys of the tenant",
			Help: "Objects that outer tiers evicted.",
		},
		{
			Name: nameL2Batch, Kind: Histogram, Float: true, Meter: meterExt, Grid: ChunksGrid, Attributes: tier,
			Source: submitted + ", l2.load_task.submitted", Value: "key_count",
			Help: "Keys of one task of an outer tier, not sampled. Batches of one mean that every key pays the tier's latency.",
		},
	}
}

// tierRows are the gauges of outer tiers.
func tierRows() []Metric {
	adapter := []Attribute{{Key: keyL2}, {Key: keyAdapter, Int: true}}
	tier := []Attribute{{Key: keyL2}}
	return []Metric{
		{
			Row: 47, Name: nameL2Stores, Kind: Gauge, Meter: meterL2Store, Attributes: adapter,
			Source: "storage.Stats", Value: "store tasks that run; no point if there is none",
			Help: "Store tasks that an outer tier works on.",
		},
		{
			Row: 48, Name: nameL2Loads, Kind: Gauge, Meter: meterL2Prefetch, Attributes: adapter,
			Source: "storage.Stats", Value: "loads that run, one per prefetch and tier; no point if there is none",
			Help: "Loads that an outer tier works on, one per prefetch.",
		},
		{
			Row: 49, Name: nameL2LoadBytes, Kind: Gauge, Meter: meterL2Prefetch, Attributes: adapter,
			Source: "storage.Stats", Value: "bytes reserved for loads that run; no point if there are none",
			Help: "L1 bytes reserved for what an outer tier is loading. A byte belongs to one tier.",
		},
		{
			Name: nameL2BreakerState, Kind: Gauge, Meter: meterHealth, Attributes: breaker(),
			Source: "storage.Stats", Value: "1 for the state that the breaker is in, 0 for the others",
			Help: "State of the breaker of an outer tier. While it is not closed, nothing is loaded from the tier or stored in it.",
		},
		{
			Name: nameL2Usage, Kind: Gauge, Meter: meterExt, Attributes: tier,
			Source: "storage.Stats", Value: "bytes stored in the tiers of the name",
			Help: "Bytes held in outer tiers, as stored.",
		},
		{
			Name: nameL2Capacity, Kind: Gauge, Meter: meterExt, Attributes: tier,
			Source: "storage.Stats", Value: "capacity of the tiers of the name; 0 if one of them has none or does not know it",
			Help: "Bytes that outer tiers can hold; 0 is unknown or unlimited.",
		},
		{
			Name: nameL2ReadWrite, Kind: Gauge, Float: true, Meter: meterExt,
			Source: "storage.Stats", Value: "bytes read / bytes written since the start; 0 when nothing was written",
			Help: "Bytes read from outer tiers over bytes written to them. Near 0, what is written is never read.",
		},
	}
}
