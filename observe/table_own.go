package observe

import (
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// OTel names of this project's own metrics.
const (
	nameBusLimit           = "lmcache_mp.event_bus.queue_limit"
	nameClockSteps         = "lmcache_mp.clock_steps"
	nameRemoved            = "lmcache_mp.l1_removed_keys"
	nameLookups            = "lmcache_mp.lookups"
	nameEarlyExit          = "lmcache_mp.lookup_early_exit"
	nameHitL1              = "lmcache_mp.lookup_hit_l1_tokens"
	nameHitL2              = "lmcache_mp.lookup_hit_l2_tokens"
	nameJobsExpired        = "lmcache_mp.prefetch_jobs_expired"
	nameOperation          = "lmcache_mp.operation_duration_seconds"
	nameInvalid            = "lmcache_mp.invalid_samples"
	nameOverflow           = "lmcache_mp.metrics_label_overflow"
	nameSubscriberOverflow = "lmcache_mp.subscriber_overflow"
	nameBuild              = "lmcache_mp.build_info"
	nameConfig             = "lmcache_mp.config_info"
	nameL1Capacity         = "lmcache_mp.l1_capacity_bytes"
	nameL1Watermark        = "lmcache_mp.l1_eviction_watermark"
	nameMisses             = "lmcache_mp.chunk_misses"
	nameSubmittedStores    = "lmcache_mp.num_submitted_stores"
	nameFinishedStores     = "lmcache_mp.num_finished_stores"
	nameSubmittedRetrieves = "lmcache_mp.num_submitted_retrieves"
	nameFinishedRetrieves  = "lmcache_mp.num_finished_retrieves"
	nameL1Pinned           = "lmcache_mp.l1_pinned_ratio"
	nameL1Objects          = "lmcache_mp.l1_objects"
	nameLeaseExpired       = "lmcache_mp.lease_expired"
	nameTimeouts           = "lmcache_mp.timeouts"
)

// Values of the attributes of operation_duration_seconds.
const (
	opLookup   = "lookup"
	opWait     = "prefetch_wait"
	opRetrieve = "retrieve"
	opStore    = "store"
	opL2Queue  = "l2_queue"
	opL2Load   = "l2_load"
	opL2Store  = "l2_store"

	outcomeHit     = "hit"
	outcomePartial = "partial"
	outcomeMiss    = "miss"
	outcomeEarly   = "early_exit"
	outcomeOK      = "ok"
	outcomeFailed  = "failed"
)

// Reasons of invalid_samples.
const (
	reasonNegative = "negative"
	reasonNaN      = "nan"
	reasonPanic    = "panic"
)

// Early exits of a lookup, and why a lookup was dropped undelivered.
const (
	earlyNoContext = "no_gpu_context"
	earlyNoHashes  = "empty_chunk_hashes"

	abandonedExpired = "expired"
)

// Kinds of timeouts.
const (
	timeoutDeadline = "prefetch_deadline"
	timeoutL2       = "l2_load"
)

// States of l1_objects.
const (
	stateWriting = "writing"
	stateReady   = "ready"
	stateReading = "reading"
)

func ownRows() []Metric {
	device := []Attribute{{Key: "device"}}
	return []Metric{
		{
			Name: nameClockSteps, Kind: ObservableCounter, Meter: meterExt,
			Source: "eventbus.Stats", Value: "steps of more than a second",
			Help: "Steps of the wall clock of more than a second, which change no duration.",
		},
		{
			Name: nameRemoved, Meter: meterExt, Attributes: []Attribute{{Key: "cause", Values: evictCauses()}},
			Source: "l1.keys.evicted", Value: "keys",
			Help: "Keys removed from L1, by cause.",
		},
		{
			Name: nameLookups, Meter: meterLookup, Attributes: []Attribute{model(), salt()},
			Source: "mp.lookup_prefetch.end", Value: "1",
			Help: "Lookups whose result was delivered.",
		},
		{
			Name: nameEarlyExit, Meter: meterLookup,
			Attributes: []Attribute{model(), salt(), {Key: "reason", Values: []string{earlyNoContext, earlyNoHashes}}},
			Source:     "mp.lookup_prefetch.end", Value: "1 if there is a reason",
			Help: "Lookups answered at once: no worker registered for the model, or no full chunk asked for.",
		},
		{
			Name: nameHitL1, Unit: unitTokens, Meter: meterLookup, Attributes: []Attribute{model(), salt()},
			Source: "mp.lookup_prefetch.end", Value: "l1_hit_tokens",
			Help: "Part of lookup_hit_tokens that was in L1.",
		},
		{
			Name: nameHitL2, Unit: unitTokens, Meter: meterLookup, Attributes: []Attribute{model(), salt()},
			Source: "mp.lookup_prefetch.end", Value: "l2_hit_tokens",
			Help: "Part of lookup_hit_tokens that an outer tier supplied.",
		},
		{
			Name: nameJobsExpired, Meter: meterExt, Source: "mp.lookup_prefetch.abandoned", Value: "1 if the reason is expired",
			Help: "Prefetch jobs dropped because nobody asked for their result in time.",
		},
		{
			Name: nameOperation, Kind: Histogram, Float: true, Unit: "s", Meter: meterExt, Grid: OperationGrid,
			Attributes: []Attribute{
				{Key: "op", Values: []string{opLookup, opWait, opRetrieve, opStore, opL2Queue, opL2Load, opL2Store}},
				{Key: "outcome", Values: []string{outcomeHit, outcomePartial, outcomeMiss, outcomeEarly, outcomeOK, outcomeFailed}},
			},
			Source: "mp.lookup_prefetch.end, sm.prefetch.resolved, mp.retrieve.end, mp.store.end, l2.store.submitted, l2.store.completed, l2.load_task.submitted, l2.load_task.completed",
			Value:  "submitted to known, resident, or through the device",
			Help:   "Latency of every call, not sampled: lookup from submission to known result, prefetch_wait of its storage part, retrieve and store from submission until the device is done, l2_queue until an outer tier begins with a task, l2_load and l2_store from then until it is done.",
		},
		{
			Name: nameInvalid, Meter: meterExt, Attributes: []Attribute{{Key: "metric"}, {Key: "reason", Values: []string{reasonNegative, reasonNaN, reasonPanic}}},
			Source: "observe", Value: "1",
			Help: "Values that were refused, by metric: negative, not a number, or a gauge whose reading panicked.",
		},
		{
			Name: nameOverflow, Meter: meterExt, Attributes: []Attribute{{Key: "label", Values: []string{keySalt, keyModel}}},
			Source: "observe", Value: "1",
			Help: "Uses of label values beyond the limit, which count under __other__.",
		},
		{
			Name: nameSubscriberOverflow, Meter: meterExt, Attributes: []Attribute{{Key: "subscriber_name"}, {Key: "state"}},
			Source: "observe", Value: "1",
			Help: "Entries that a subscriber forgot or did not take because its state is bounded: samples that are missing.",
		},
		{
			Name: nameBuild, Kind: Gauge, Meter: meterExt, Attributes: []Attribute{{Key: "version"}, {Key: "go"}},
			Source: "observe.Sources", Value: "1",
			Help: "Version of the program and of the Go toolchain that built it.",
		},
		{
			Name: nameConfig, Kind: Gauge, Meter: meterExt, Attributes: []Attribute{{Key: "digest"}},
			Source: "observe.Sources", Value: "1",
			Help: "Digest of the effective configuration.",
		},
		{
			Name: nameL1Capacity, Kind: Gauge, Meter: meterExt, Source: "l1.Stats", Value: "capacity",
			Help: "Bytes that L1 can hold.",
		},
		{
			Name: nameL1Watermark, Kind: Gauge, Float: true, Meter: meterExt, Source: "l1.Stats", Value: "watermark",
			Help: "Usage ratio at which background eviction begins; 1 in exact mode.",
		},
		{
			Name: nameL1Pinned, Kind: Gauge, Float: true, Meter: meterExt, Source: "l1.Stats", Value: "pinned / committed; 0 when nothing is committed",
			Help: "Part of L1's memory that all devices have pinned, 0 to 1; copies of the rest are slow. 0 without a device.",
		},
		{
			Name: nameMisses, Meter: meterExt, Attributes: []Attribute{{Key: "reason", Values: missReasons()}, model()},
			Source: "mp.lookup_prefetch.end", Value: "chunks missed for the reason",
			Help: "Chunks that lookups asked for and did not get, by reason.",
		},
		{
			Name: nameSubmittedStores, Meter: meterTransfer, Attributes: device, Source: "mp.store.submitted", Value: "1",
			Help: "Stores put on a device's stream.",
		},
		{
			Name: nameFinishedStores, Meter: meterTransfer, Attributes: device, Source: "mp.store.end", Value: "1",
			Help: "Stores that the device is done with, failed ones included: each submitted one exactly once.",
		},
		{
			Name: nameSubmittedRetrieves, Meter: meterTransfer, Attributes: device, Source: "mp.retrieve.submitted", Value: "1",
			Help: "Retrieves put on a device's stream.",
		},
		{
			Name: nameFinishedRetrieves, Meter: meterTransfer, Attributes: device, Source: "mp.retrieve.end", Value: "1",
			Help: "Retrieves that the device is done with, failed ones included: each submitted one exactly once.",
		},
		{
			Name: nameL1Objects, Kind: Gauge, Meter: meterExt,
			Attributes: []Attribute{{Key: "state", Values: []string{stateWriting, stateReady, stateReading}}},
			Source:     "l1.Stats", Value: "objects in the state",
			Help: "Objects in L1: being written, readable and not leased, leased for reading.",
		},
		{
			Name: nameLeaseExpired, Meter: meterExt,
			Attributes: []Attribute{{Key: "kind", Values: []string{string(l1.LeaseRead), string(l1.LeaseWrite)}}},
			Source:     "l1.lease.expired", Value: "1",
			Help: "Leases that were not given back in time.",
		},
		{
			Name: nameTimeouts, Meter: meterExt,
			Attributes: []Attribute{{Key: "exception_type", Values: []string{timeoutDeadline, timeoutL2}}},
			Source:     "l2.prefetch.deadline, l2.prefetch.failed", Value: "1; of l2.prefetch.failed if the reason is timeout",
			Help: "Prefetches that went on without what an outer tier did not deliver in time, and loads that an outer tier gave up.",
		},
	}
}

// missReasons are the names of all reasons for a miss.
func missReasons() []string {
	var names []string
	for r := storage.MissNone + 1; int(r) < len(storage.MissCounts{}); r++ {
		names = append(names, r.String())
	}
	return names
}
