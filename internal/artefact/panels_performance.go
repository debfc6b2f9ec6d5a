package artefact

// slow is the range of rates of histograms that get only what is in the sample: a
// shorter one would often be empty.
const slow = "15m"

func performancePanels(q promql) []panel {
	var all []panel
	for _, some := range [][]panel{hitPanels(q), activityPanels(q), latencyPanels(q), throughputPanels(q)} {
		all = append(all, some...)
	}
	return all
}

func hitPanels(q promql) []panel {
	requested := "lookup_requested_tokens"
	return []panel{
		{
			title: "Hit rate by model", unit: unitRatio, width: 8, ratio: true, steps: good(), shade: true,
			text: "Tokens found over tokens asked for. What the engine's own prefix cache finds is not part of it.",
			lines: []line{
				{"{{model_name}}", q.ratio("model_name", "lookup_hit_tokens", requested), false},
			},
		},
		{
			title: "Hit rate by tier and model", unit: unitRatio, width: 8, ratio: true,
			text: "The hit rate, split into what was in L1 and what an outer tier supplied. A tier that adds nothing costs writes for no gain.",
			lines: []line{
				{"{{model_name}} L1", q.ratio("model_name", "lookup_hit_l1_tokens", requested), false},
				{"{{model_name}} L2", q.ratio("model_name", "lookup_hit_l2_tokens", requested), false},
			},
		},
		{
			title: "Hit rate by server", unit: unitRatio, width: 8, ratio: true, steps: good(), shade: true,
			text: "One server below the others is one that a router sends strangers to, or whose L1 is smaller.",
			lines: []line{
				{"{{instance}}", q.ratio("instance", "lookup_hit_tokens", requested), false},
			},
		},
	}
}

func activityPanels(q promql) []panel {
	return []panel{
		{
			title: "Lookups", unit: unitRate, width: 8,
			text: "Lookups whose result was delivered, and prefetches and reservations that they cause. Early exits had no registered worker, or no full chunk to ask for.",
			lines: []line{
				{"{{instance}} lookups", q.rate("instance", "lookups"), false},
				{"{{instance}} early exit, {{reason}}", q.rate("instance, reason", "lookup_early_exit"), false},
				{"{{instance}} prefetches", q.rate("instance", "sm_read_requests"), false},
				{"{{instance}} write reservations", q.rate("instance", "sm_write_requests"), false},
			},
		},
		{
			title: "Tokens looked up", unit: unitTokens, width: 8,
			text: "Tokens that lookups asked for and found.",
			lines: []line{
				{"{{model_name}} asked for", q.rate("model_name", "lookup_requested_tokens"), false},
				{"{{model_name}} found", q.rate("model_name", "lookup_hit_tokens"), false},
			},
		},
		{
			title: "Chunks delivered", unit: unitChunks, width: 8,
			text: "Chunks delivered into the engines' caches. Found but not delivered means that the host decided to compute.",
			lines: []line{
				{"{{instance}} worker {{worker_id}} {{model_name}}", q.rate("instance, worker_id, model_name", "num_chunks_loaded"), false},
			},
		},
	}
}

func latencyPanels(q promql) []panel {
	const duration = "operation_duration_seconds"
	return []panel{
		{
			title: "Operation latency, p50", unit: unitSeconds, width: 8, log: true,
			text: "Half of the operations were faster. Every operation counts. l2_queue is the wait for an outer tier, l2_load and l2_store its work.",
			lines: []line{
				{"{{op}}", q.quantile("0.5", "op", duration), false},
			},
		},
		{
			title: "Operation latency, p99", unit: unitSeconds, width: 8, log: true,
			text: "99 % of the operations were faster. Every operation counts.",
			lines: []line{
				{"{{op}}", q.quantile("0.99", "op", duration), false},
			},
		},
		{
			title: "Operations by outcome", unit: unitRate, width: 8,
			text: "Operations per second. An outcome of failed is a transfer or a task that did not do what it was asked.",
			lines: []line{
				{"{{op}} {{outcome}}", q.samples("op, outcome", duration), false},
			},
		},
	}
}

func throughputPanels(q promql) []panel {
	s := q.over(slow)
	three := func(by, legend, what, name string) []line {
		return []line{
			{legend + what + " p50", s.quantile("0.5", by, name), false},
			{legend + what + " p95", s.quantile("0.95", by, name), false},
			{legend + what + " mean", s.mean(by, name), false},
		}
	}
	return []panel{
		{
			title: "L0 ↔ L1 throughput", unit: unitGBs, width: 12,
			text: "Copies between the devices and L1 by the devices' clocks, of what is in the sample, over 15 minutes. Below the speed of the bus: see L1 memory pinned.",
			lines: append(
				three("", "", "store", "l0_l1_store_throughput_gbs"),
				three("", "", "load", "l0_l1_load_throughput_gbs")...),
		},
		{
			title: "L1 ↔ L2 throughput", unit: unitGBs, width: 12,
			text: "Tasks of outer tiers from submission to completion, of what is in the sample, over 15 minutes: queueing, network and disk included.",
			lines: append(
				three("l2_name", "{{l2_name}} ", "store", "l2_store_throughput_gbs"),
				three("l2_name", "{{l2_name}} ", "load", "l2_load_throughput_gbs")...),
		},
		{
			title: "L2 operations per second", unit: unitRate, width: 8,
			text: "Tasks that an outer tier completed, by its name.",
			lines: []line{
				{"{{l2_name}} store", q.rate("l2_name", "l2_store_completed"), false},
				{"{{l2_name}} load", q.rate("l2_name", "l2_load_completed"), false},
			},
		},
		{
			title: "L2 tasks submitted", unit: unitRate, width: 8,
			text: "Store tasks, lookups and load tasks given to outer tiers. Compare with those completed.",
			lines: []line{
				{"stores", q.rate("", "l2_store_tasks"), false},
				{"lookups", q.rate("", "l2_prefetch_lookups"), false},
				{"loads", q.rate("", "l2_prefetch_load_tasks"), false},
			},
		},
		{
			title: "L2 keys per task", unit: unitShort, width: 8,
			text: "Mean size of a task's batch. Batches of one mean that every key pays the tier's latency.",
			lines: []line{
				{"{{l2_name}}", q.mean("l2_name", "l2_batch_size"), false},
			},
		},
	}
}
