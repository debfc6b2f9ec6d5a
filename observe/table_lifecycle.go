package observe

// OTel names of the sampled metrics.
const (
	nameL1Lifetime   = "lmcache_mp.l1_chunk_lifetime_seconds"
	nameL1Idle       = "lmcache_mp.l1_chunk_idle_before_evict_seconds"
	nameL1Gap        = "lmcache_mp.l1_chunk_reuse_gap_seconds"
	nameL1EvictGap   = "lmcache_mp.l1_chunk_evict_reuse_gap_seconds"
	nameReuseSeconds = "lmcache_mp.real_reuse_gap_seconds"
	nameReuseChunks  = "lmcache_mp.real_reuse_gap_chunks"
	nameL0Lifetime   = "lmcache_mp.l0_block_lifetime_seconds"
	nameL0Idle       = "lmcache_mp.l0_block_idle_before_evict_seconds"
	nameL0Gap        = "lmcache_mp.l0_block_reuse_gap_seconds"
	nameL0L1Store    = "lmcache_mp.l0_l1_store_throughput_gbs"
	nameL0L1Load     = "lmcache_mp.l0_l1_load_throughput_gbs"
)

const (
	unitSeconds    = "s"
	unitChunks     = "{chunks}"
	unitThroughput = "GB/s"
)

func lifecycleRows() []Metric {
	written := "l1.write.finished, l1.write_finished_and_read_reserved"
	return []Metric{
		{
			Row: 12, Name: nameL1Lifetime, Kind: Histogram, Float: true, Sampled: true, Unit: unitSeconds, Meter: meterL1, Grid: SecondsGrid,
			Source: "l1.keys.evicted", Value: "eviction - allocation",
			Help: "Time from allocation in L1 to eviction; a rewrite begins a new life.",
		},
		{
			Row: 13, Name: nameL1Idle, Kind: Histogram, Float: true, Sampled: true, Unit: unitSeconds, Meter: meterL1, Grid: SecondsGrid,
			Source: "l1.keys.evicted", Value: "eviction - last use",
			Help: "Time from the last use in L1 to eviction.",
		},
		{
			Row: 14, Name: nameL1Gap, Kind: Histogram, Float: true, Sampled: true, Unit: unitSeconds, Meter: meterL1, Grid: SecondsGrid,
			Source: "l1.read.finished, " + written, Value: "use - use before",
			Help: "Time between two uses of a chunk in L1, reads and writes alike.",
		},
		{
			Row: 15, Name: nameL1EvictGap, Kind: Histogram, Float: true, Sampled: true, Unit: unitSeconds, Meter: meterL1, Grid: CappedSecondsGrid,
			Source: "l1.keys.evicted, " + written, Value: "write - eviction, at most 300",
			Help: "Time from an eviction to the next write of the same chunk; 300 means not within 300 seconds. Short gaps mean that L1 is too small.",
		},
		{
			Row: 16, Name: nameReuseSeconds, Kind: Histogram, Float: true, Sampled: true, Unit: unitSeconds, Meter: meterSM, Grid: SecondsGrid,
			Attributes: []Attribute{salt()},
			Source:     "sm.read.prefetched_finished, sm.write.finished", Value: "read - last read or write",
			Help: "Time from the last use of a chunk by requests to its next read, wherever it was kept meanwhile.",
		},
		{
			Row: 17, Name: nameReuseChunks, Kind: Histogram, Float: true, Sampled: true, Unit: unitChunks, Meter: meterSM, Grid: ChunksGrid,
			Attributes: []Attribute{salt()},
			Source:     "sm.read.prefetched_finished, sm.write.finished", Value: "uses of the tenant's chunks since the last use of this one",
			Help: "Chunks that a tenant used between the last use of a chunk and its next read: the capacity that would have kept it.",
		},
	}
}

func deviceRows() []Metric {
	block := []Attribute{{Key: "instance_id"}, model()}
	copied := []Attribute{{Key: "engine_id"}, {Key: "device"}, model()}
	const under = " Blocks that the host uses again from its own prefix cache are not reported, so evictions and uses are under-counted."
	const clock = " Pure copy time by the device's clock; GB are 10^9 bytes."
	return []Metric{
		{
			Row: 36, Name: nameL0Lifetime, Kind: Histogram, Float: true, Sampled: true, Unit: unitSeconds, Meter: meterL0, Grid: SecondsGrid, Attributes: block,
			Source: "mp.vllm.block_allocation, mp.vllm.end_session", Value: "reallocation with other content - allocation",
			Help: "Life of the content of a block of the host's paged cache, which ends when the block is seen with other content." + under,
		},
		{
			Row: 37, Name: nameL0Idle, Kind: Histogram, Float: true, Sampled: true, Unit: unitSeconds, Meter: meterL0, Grid: SecondsGrid, Attributes: block,
			Source: "mp.vllm.block_allocation, mp.vllm.end_session", Value: "reallocation with other content - last use",
			Help: "Time from the last use of a block's content until the block is seen with other content." + under,
		},
		{
			Row: 38, Name: nameL0Gap, Kind: Histogram, Float: true, Sampled: true, Unit: unitSeconds, Meter: meterL0, Grid: SecondsGrid, Attributes: block,
			Source: "mp.vllm.block_allocation, mp.vllm.end_session", Value: "use - use before, of the last four, at reallocation",
			Help: "Time between uses of a block's content by one request after another." + under,
		},
		{
			Row: 39, Name: nameL0L1Store, Kind: Histogram, Float: true, Sampled: true, Unit: unitThroughput, Meter: meterPerf, Grid: ThroughputGrid, Attributes: copied,
			Source: "mp.store.start, mp.store.end", Value: "bytes / (end - start)",
			Help: "Throughput of stores from a device's paged cache into L1, in GB per second." + clock,
		},
		{
			Row: 40, Name: nameL0L1Load, Kind: Histogram, Float: true, Sampled: true, Unit: unitThroughput, Meter: meterPerf, Grid: ThroughputGrid, Attributes: copied,
			Source: "mp.retrieve.start, mp.retrieve.end", Value: "bytes / (end - start)",
			Help: "Throughput of retrieves from L1 into a device's paged cache, in GB per second." + clock,
		},
	}
}
