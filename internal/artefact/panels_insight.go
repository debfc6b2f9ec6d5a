package artefact

func insightPanels(q promql) []panel {
	var all []panel
	for _, some := range [][]panel{lifecyclePanels(q), reusePanels(q), tenantPanels(q)} {
		all = append(all, some...)
	}
	return all
}

// halves are the median and the 95th percentile of a sampled histogram.
func halves(q promql, by, legend, name string) []line {
	s := q.over(slow)
	return []line{
		{legend + "p50", s.quantile("0.5", by, name), false},
		{legend + "p95", s.quantile("0.95", by, name), false},
	}
}

func lifecyclePanels(q promql) []panel {
	var l1, l0 []line
	for _, c := range []struct{ what, name string }{
		{"lifetime", "lifetime_seconds"}, {"idle before eviction", "idle_before_evict_seconds"}, {"between uses", "reuse_gap_seconds"},
	} {
		l1 = append(l1, halves(q, "", c.what+" ", "l1_chunk_"+c.name)...)
		l0 = append(l0, halves(q, "", c.what+" ", "l0_block_"+c.name)...)
	}
	return []panel{
		{
			title: "Life of chunks in L1", unit: unitSeconds, width: 8, log: true, lines: l1,
			text: "Of what is in the sample, over 15 minutes. Uses farther apart than chunks live are lost hits: more L1 would keep them.",
		},
		{
			title: "Life of blocks in L0", unit: unitSeconds, width: 8, log: true, lines: l0,
			text: "Blocks of the engines' own caches, of what is in the sample, over 15 minutes. Blocks that an engine uses again by itself are not reported.",
		},
		{
			title: "Evicted and written again", unit: unitSeconds, width: 8, steps: []step{{color: red}, {60, green}},
			text:  "Time from a chunk's eviction to its next write; 300 s means not within that time. A median below a minute means that L1 is too small.",
			lines: halves(q, "instance", "{{instance}} ", "l1_chunk_evict_reuse_gap_seconds"),
		},
	}
}

func reusePanels(q promql) []panel {
	return []panel{
		{
			title: "Where tokens came from", unit: unitTokens, width: 8, stack: "percent",
			text: "Tokens asked for: found in L1, supplied by an outer tier, or missed and computed by the engine.",
			lines: []line{
				{"L1", q.rate("", "lookup_hit_l1_tokens"), false},
				{"L2", q.rate("", "lookup_hit_l2_tokens"), false},
				{"missed", q.rate("", "lookup_requested_tokens") + " - " + q.rate("", "lookup_hit_tokens"), false},
			},
		},
		{
			title: "Why chunks were missed", unit: unitChunks, width: 8, stack: "normal",
			text: "absent was never stored; evicted would have been a hit with more memory; the others are failures, deadlines, or requests that cannot hit.",
			lines: []line{
				{"{{reason}}", q.rate("reason", "chunk_misses"), false},
			},
		},
		{
			title: "Time between uses by tenant", unit: unitSeconds, width: 8, log: true,
			text:  "From a chunk's last use to its next read, wherever it was kept meanwhile, of what is in the sample, over 15 minutes.",
			lines: halves(q, "cache_salt", "{{cache_salt}} ", "real_reuse_gap_seconds"),
		},
	}
}

func tenantPanels(q promql) []panel {
	return []panel{
		{
			title: "Chunks between uses by tenant", unit: unitShort, width: 8, log: true,
			text:  "Chunks that a tenant used before it came back to one: the capacity that would have kept it. Of what is in the sample, over 15 minutes.",
			lines: halves(q, "cache_salt", "{{cache_salt}} ", "real_reuse_gap_chunks"),
		},
		{
			title: "Tokens asked for by tenant", unit: unitTokens, width: 8, stack: "normal",
			text: "The ten tenants (cache salts) that ask for most. The one without a name sends no salt.",
			lines: []line{
				{"{{cache_salt}}", "topk(10, " + q.rate("cache_salt", "lookup_requested_tokens") + ")", false},
			},
		},
		{
			title: "Hit rate by tenant", unit: unitRatio, width: 8, ratio: true,
			text: "The ten tenants with the lowest hit rate.",
			lines: []line{
				{"{{cache_salt}}", "bottomk(10, " + q.ratio("cache_salt", "lookup_hit_tokens", "lookup_requested_tokens") + ")", false},
			},
		},
		{
			title: "Chunks delivered by tenant", unit: unitChunks, width: 12, stack: "normal",
			text: "The ten tenants that get most chunks out of the cache.",
			lines: []line{
				{"{{cache_salt}}", "topk(10, " + q.rate("cache_salt", "num_chunks_loaded") + ")", false},
			},
		},
		{
			title: "Objects evicted from L2 by tenant", unit: unitRate, width: 12, stack: "normal",
			text: "Objects that outer tiers evicted, of the ten tenants that lose most.",
			lines: []line{
				{"{{cache_salt}}", "topk(10, " + q.rate("cache_salt", "l2_evicted_objects") + ")", false},
			},
		},
	}
}

func blendPanels(q promql) []panel {
	r := func(name string) string { return q.rate("", "lmcache_blend."+name) }
	return []panel{
		{
			title: "Blend lookups", unit: unitRate, width: 8,
			text: "Lookups of fingerprints, and those that found no registered worker.",
			lines: []line{
				{"lookups", r("lookup_requests"), false},
				{"without a worker", r("lookup_no_gpu_context_errors"), false},
			},
		},
		{
			title: "Blend tokens", unit: unitTokens, width: 8,
			text: "Tokens that lookups of fingerprints asked for and found in storage.",
			lines: []line{
				{"asked for", r("lookup_requested_tokens"), false},
				{"found", r("lookup_hit_tokens"), false},
			},
		},
		{
			title: "Blend chunks found", unit: unitChunks, width: 8,
			text: "Chunks found by their fingerprints: those that storage has, and stale ones that it has lost.",
			lines: []line{
				{"by fingerprint", r("lookup_fingerprint_hits"), false},
				{"in storage", r("lookup_storage_hits"), false},
				{"stale", r("lookup_stale_chunks"), false},
			},
		},
		{
			title: "Blend transfers", unit: unitRate, width: 8,
			text: "Retrieves and stores of blended requests, and those that failed.",
			lines: []line{
				{"retrieves", r("retrieve_requests"), false},
				{"stores computed before", r("store_pre_computed_requests"), false},
				{"final stores", r("store_final_requests"), false},
				{"retrieves failed", r("retrieve_failures"), false},
				{"stores computed before failed", r("store_pre_computed_failures"), false},
				{"final stores failed", r("store_final_failures"), false},
			},
		},
		{
			title: "Blend chunks transferred", unit: unitChunks, width: 8,
			text: "Chunks retrieved and stored by blended requests.",
			lines: []line{
				{"retrieved", r("retrieve_chunks"), false},
				{"computed before and stored", r("store_pre_computed_chunks"), false},
				{"stored at the end", r("store_final_chunks"), false},
			},
		},
		{
			title: "Blend fingerprints", unit: unitChunks, width: 8,
			text: "Chunks whose fingerprints were registered and removed.",
			lines: []line{
				{"registered", r("fingerprints_registered"), false},
				{"removed", r("chunks_evicted"), false},
			},
		},
	}
}
