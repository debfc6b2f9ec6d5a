package observe

import (
	"slices"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// Meter names.
const (
	meterSM        = "lmcache.sm"
	meterL0        = "lmcache.l0"
	meterL1        = "lmcache.l1"
	meterL2        = "lmcache.l2"
	meterHealth    = "lmcache_mp.health"
	meterLookup    = "lmcache.lookup"
	meterEngine    = "lmcache_mp.engine"
	meterMPEngine  = "lmcache.mp_engine"
	meterL1Manager = "lmcache.l1_manager"
	meterBus       = "lmcache.event_bus"
	meterPerf      = "lmcache_mp.perf"
	meterBlend     = "lmcache.blend"
	meterTransfer  = "lmcache_mp.transfer"
	meterExt       = "lmcache_mp.ext"

	meterL2Store    = "lmcache.l2_store"
	meterL2Prefetch = "lmcache.l2_prefetch"
)

// Attribute keys.
const (
	keyModel  = "model_name"
	keySalt   = "cache_salt"
	keyWorker = "worker_id"
)

const unitTokens = "tokens"

// OTel names of the metrics of the original's documentation.
const (
	nameSMReadRequests   = "lmcache_mp.sm_read_requests"
	nameSMReadSucceed    = "lmcache_mp.sm_read_succeed_keys"
	nameSMReadFailed     = "lmcache_mp.sm_read_failed_keys"
	nameSMWriteRequests  = "lmcache_mp.sm_write_requests"
	nameSMWriteSucceed   = "lmcache_mp.sm_write_succeed_keys"
	nameSMWriteFailed    = "lmcache_mp.sm_write_failed_keys"
	nameL1Read           = "lmcache_mp.l1_read_keys"
	nameL1Write          = "lmcache_mp.l1_write_keys"
	nameL1Evicted        = "lmcache_mp.l1_evicted_keys"
	nameL1Ticks          = "lmcache_mp.l1_eviction_loop_ticks"
	nameL1Triggered      = "lmcache_mp.l1_eviction_loop_triggered"
	nameAllocFailure     = "lmcache_mp.l1_allocation_failure"
	nameReadFailure      = "lmcache_mp.l1_read_failure"
	nameRequestedTokens  = "lmcache_mp.lookup_requested_tokens"
	nameHitTokens        = "lmcache_mp.lookup_hit_tokens"
	nameChunksLoaded     = "lmcache_mp.num_chunks_loaded"
	nameActiveJobs       = "lmcache_mp.active_prefetch_jobs"
	nameL1UsageBytes     = "lmcache_mp.l1_memory_usage_bytes"
	nameL1UsageRatio     = "lmcache_mp.l1_usage_ratio"
	nameBusDepth         = "lmcache_mp.event_bus.queue_depth"
	nameBusLag           = "lmcache_mp.event_bus.drain_lag_seconds"
	nameBusDropped       = "lmcache_mp.event_bus.dropped_events_total"
	nameBusExceptions    = "lmcache_mp.event_bus.subscriber_exceptions"
	nameBusDroppedByType = "lmcache_mp.event_bus.dropped_events_by_type"
)

// table is every metric there is, in order of documentation.
func table() []Metric {
	t := slices.Concat(smRows(), l1Rows(), lifecycleRows(), l2Rows(), requestRows(), deviceRows(), gaugeRows(), tierRows(), ownRows(), selfRows(), blendRows())
	later := laterNames()
	for i := range t {
		t[i].Alias = later[t[i].Name]
	}
	return t
}

// find returns the row with that OTel name, which must exist.
func find(name string) *Metric {
	t := table()
	i := slices.IndexFunc(t, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		panic("observe: " + name + " is not in the table")
	}
	return &t[i]
}

func model() Attribute { return Attribute{Key: keyModel} }

func salt() Attribute { return Attribute{Key: keySalt} }

func smRows() []Metric {
	return []Metric{
		{
			Row: 1, Name: nameSMReadRequests, Meter: meterSM, Source: "sm.read.prefetched", Value: "1",
			Help: "Prefetches submitted to the storage manager.",
		},
		{
			Row: 2, Name: nameSMReadSucceed, Meter: meterSM, Source: "sm.read.prefetched", Value: "succeeded keys",
			Help: "Keys of the contiguous prefix that was in L1 when a prefetch was submitted, before any outer tier answered.",
		},
		{
			Row: 3, Name: nameSMReadFailed, Meter: meterSM, Source: "sm.read.prefetched", Value: "failed keys",
			Help: "Keys behind the first gap when a prefetch was submitted, also those that were present behind it.",
		},
		{
			Row: 4, Name: nameSMWriteRequests, Meter: meterSM, Source: "sm.write.reserved", Value: "1",
			Help: "Write reservations asked of the storage manager.",
		},
		{
			Row: 5, Name: nameSMWriteSucceed, Meter: meterSM, Source: "sm.write.reserved", Value: "succeeded keys",
			Help: "Keys for which a write reservation was granted.",
		},
		{
			Row: 6, Name: nameSMWriteFailed, Meter: meterSM, Source: "sm.write.reserved", Value: "failed keys",
			Help: "Keys for which a write reservation was refused: no memory, or the key is there or being written.",
		},
	}
}

func l1Rows() []Metric {
	return []Metric{
		{
			Row: 7, Name: nameL1Read, Meter: meterL1, Source: "l1.read.finished", Value: "keys",
			Help: "Keys whose read leases were given back, once per call.",
		},
		{
			Row: 8, Name: nameL1Write, Meter: meterL1,
			Source: "l1.write.finished, l1.write_finished_and_read_reserved", Value: "keys of either",
			Help: "Keys that became readable in L1, written by the host or loaded from an outer tier.",
		},
		{
			Row: 9, Name: nameL1Evicted, Meter: meterL1, Source: "l1.keys.evicted", Value: "keys if the cause is evict",
			Help: "Keys evicted from L1 because memory was needed. Removals for other causes are in l1_removed_keys.",
		},
		{
			Row: 10, Name: nameL1Ticks, Meter: meterL1, Source: "l1.eviction.loop_tick", Value: "1",
			Help: "Ticks of the eviction loop, one a second; a flat line means that the loop stands.",
		},
		{
			Row: 11, Name: nameL1Triggered, Meter: meterL1, Source: "l1.eviction.loop_tick", Value: "1 if triggered",
			Help: "Ticks at which eviction had work: usage above the watermark, or in exact mode victims asked for since the tick before.",
		},
	}
}

func requestRows() []Metric {
	during := Attribute{Key: "during", Values: []string{storage.DuringL1Store, storage.DuringL2Prefetch}}
	reading := Attribute{Key: "during", Values: []string{storage.DuringL2Store, storage.DuringL1Retrieve}}
	reason := Attribute{Key: "reason", Values: []string{storage.ReasonNotFound, storage.ReasonWriteLocked}}
	return []Metric{
		{
			Row: 31, Name: nameAllocFailure, Meter: meterHealth, Attributes: []Attribute{during, model()},
			Source: "l1.allocation.failed", Value: "keys of the model",
			Help: "Keys that got no L1 memory although victims were looked for.",
		},
		{
			Row: 32, Name: nameReadFailure, Meter: meterHealth, Attributes: []Attribute{reading, reason, model()},
			Source: "l1.read.failed", Value: "keys of the model",
			Help: "Keys that should have been readable in L1 and were not. Ordinary misses never count: any rate above zero means a race between lookup and eviction.",
		},
		{
			Row: 34, Name: nameRequestedTokens, Unit: unitTokens, Meter: meterLookup, Attributes: []Attribute{model(), salt()},
			Source: "mp.lookup_prefetch.end", Value: "requested_tokens",
			Help: "Tokens that lookups asked for, in full chunks. The hit rate is the sum of rates of lookup_hit_tokens over the sum of rates of this.",
		},
		{
			Row: 35, Name: nameHitTokens, Unit: unitTokens, Meter: meterLookup, Attributes: []Attribute{model(), salt()},
			Source: "mp.lookup_prefetch.end", Value: "hit_tokens",
			Help: "Tokens of the contiguous prefix that lookups found, loads resolved and verified. The engine's own prefix cache is not visible here.",
		},
		{
			Row: 43, Name: nameChunksLoaded, Meter: meterEngine,
			Attributes: []Attribute{{Key: keyWorker}, model(), salt()},
			Source:     "mp.retrieve.end", Value: "retrieved_count",
			Help: "Chunks delivered into the engine's cache.",
		},
	}
}

func gaugeRows() []Metric {
	return []Metric{
		{
			Row: 44, Name: nameActiveJobs, Kind: Gauge, Meter: meterMPEngine,
			Source: "lmcache.Stats", Value: "prefetch jobs not yet delivered or dropped",
			Help: "Prefetch jobs registered and not yet consumed.",
		},
		{
			Row: 45, Name: nameL1UsageBytes, Kind: Gauge, Meter: meterL1Manager,
			Source: "l1.Stats", Value: "used bytes",
			Help: "Bytes held in L1.",
		},
		{
			Row: 46, Name: nameL1UsageRatio, Kind: Gauge, Float: true, Meter: meterL1Manager,
			Source: "l1.Stats", Value: "used / capacity; 0 when capacity is 0",
			Help: "Bytes held in L1 over its capacity, 0 to 1. Compare with l1_eviction_watermark.",
		},
		{
			Row: 50, Name: nameBusDepth, Kind: Gauge, Meter: meterBus,
			Source: "eventbus.Stats", Value: "events waiting, both classes",
			Help: "Events waiting in the bus.",
		},
		{
			Row: 51, Name: nameBusLag, Kind: Gauge, Float: true, Meter: meterBus,
			Source: "eventbus.Stats", Value: "age of the oldest waiting event; 0 when empty",
			Help: "Age of the oldest waiting event in seconds. Lag alone means that the dispatcher is behind, not that anything is lost.",
		},
		{
			Row: 52, Name: nameBusDropped, Kind: ObservableCounter, Meter: meterBus,
			Source: "eventbus.Stats", Value: "drops of the shared queue since start",
			Help: "Events that the shared queue had no room for. Only this says that something was lost.",
		},
		{
			Row: 53, Name: nameBusExceptions, Kind: ObservableCounter, Meter: meterBus,
			Attributes: []Attribute{{Key: "subscriber_name"}},
			Source:     "eventbus.Stats", Value: "recovered panics of the subscriber",
			Help: "Panics of event handlers, recovered; a subscriber appears with its first.",
		},
		{
			Name: nameBusDroppedByType, Kind: ObservableCounter, Meter: meterExt,
			Attributes: []Attribute{{Key: "event_type"}, {Key: "class", Values: []string{"bulk", "reserved", "isolated"}}},
			Source:     "eventbus.Stats", Value: "drops of the type since start",
			Help: "Events lost, by type and queue. Over bulk and reserved they add up to dropped_events_total.",
		},
		{
			Name: nameBusLimit, Kind: Gauge, Meter: meterExt,
			Attributes: []Attribute{{Key: "class", Values: []string{"bulk", "reserved"}}},
			Source:     "eventbus.Stats", Value: "events that the class admits",
			Help: "Events that each admission class of the bus lets wait.",
		},
	}
}

func evictCauses() []string {
	return []string{
		string(l1.CauseEvict), string(l1.CausePolicyDelete), string(l1.CauseTempRelease),
		string(l1.CausePrefetchCleanup), string(l1.CauseDelete), string(l1.CauseClear),
	}
}
