package artefact

// headline are the numbers that tell within a second whether to look further.
func headline(q promql) []panel {
	stat := func(title, text, unit, expr string, steps []step) panel {
		return panel{title: title, text: text, kind: kindStat, unit: unit, lines: []line{{expr: expr}}, width: 3, height: 4, steps: steps}
	}
	whole := q.over("$__range")
	return []panel{
		stat("Alerts firing", "Alerts of the shipped rules that fire now, whatever is chosen above.",
			unitShort, `count(ALERTS{alertname=~"LMCache.*",alertstate="firing"}) or vector(0)`, bad(1)),
		stat("Servers", "Servers whose metrics arrive.", unitShort, "count("+q.series("build_info", "")+")", nil),
		stat("Hit rate", "Tokens found over tokens asked for, in the whole time range.", unitRatio,
			whole.ratio("", "lookup_hit_tokens", "lookup_requested_tokens"), good()),
		stat("Lookups per second", "Lookups whose result was delivered.", unitRate, q.rate("", "lookups"), nil),
		stat("Slow lookups", "99 % of the lookups in the time range were faster than this.", unitSeconds,
			whole.quantile("0.99", "", "operation_duration_seconds", `op="lookup"`), nil),
		stat("L1 used", "Bytes held in L1 over its capacity. A full L1 is the normal state of a busy cache.", unitRatio,
			q.sum("", "l1_memory_usage_bytes")+" / "+q.sum("", "l1_capacity_bytes"), nil),
		stat("Keys failed", "Keys that got no memory, were not readable, or could not be loaded, in the time range.", unitShort,
			whole.increase("", "l1_allocation_failure")+" + "+whole.increase("", "l1_read_failure")+" + "+whole.increase("", "l2_prefetch_failure"), bad(1)),
		stat("Events dropped", "Events that the bus had no room for in the time range. While this is 0, all counters are exact.", unitShort,
			whole.increase("", "event_bus.dropped_events_total"), bad(1)),
	}
}

func healthPanels(q promql) []panel {
	var all []panel
	for _, some := range [][]panel{failurePanels(q), l1Panels(q), pipelinePanels(q), tierPanels(q), busPanels(q), processPanels(q)} {
		all = append(all, some...)
	}
	return all
}

func failurePanels(q promql) []panel {
	return []panel{
		{
			title: "L1 allocation failures", unit: unitKeys, width: 8,
			text: "Keys that got no L1 memory although victims were looked for. Stores lose these chunks; prefetches lose the hit.",
			lines: []line{
				{"{{instance}} {{during}}", q.rate("instance, during", "l1_allocation_failure"), false},
			},
		},
		{
			title: "L1 read failures", unit: unitKeys, width: 8,
			text: "Keys that should have been readable in L1 and were not. Ordinary misses never count: anything above zero is a race between lookup and eviction.",
			lines: []line{
				{"{{instance}} {{during}} {{reason}}", q.rate("instance, during, reason", "l1_read_failure"), false},
			},
		},
		{
			title: "L2 prefetch failures", unit: unitKeys, width: 8,
			text: "Keys that an outer tier had and that were not loaded, by reason. l1_oom also shows as an allocation failure.",
			lines: []line{
				{"{{instance}} {{reason}}", q.rate("instance, reason", "l2_prefetch_failure"), false},
			},
		},
	}
}

func l1Panels(q promql) []panel {
	return []panel{
		{
			title: "L1 usage", unit: unitRatio, width: 8, ratio: true,
			text: "Bytes held over capacity. The red line is where background eviction begins; 1 means that eviction happens inside reservations, byte by byte.",
			lines: []line{
				{"{{instance}}", q.max("instance", "l1_usage_ratio"), false},
				{"watermark {{instance}}", q.max("instance", "l1_eviction_watermark"), true},
			},
		},
		{
			title: "L1 memory", unit: unitBytes, width: 8,
			text: "Bytes held in L1, and its capacity as a red line.",
			lines: []line{
				{"{{instance}}", q.sum("instance", "l1_memory_usage_bytes"), false},
				{"capacity {{instance}}", q.sum("instance", "l1_capacity_bytes"), true},
			},
		},
		{
			title: "L1 memory pinned", unit: unitRatio, width: 8, ratio: true,
			text: "Part of L1's memory that all devices have pinned. Copies of the rest are slow; below 1 on a machine with a GPU, look at the limit of locked memory.",
			lines: []line{
				{"{{instance}}", q.max("instance", "l1_pinned_ratio"), false},
			},
		},
		{
			title: "L1 operations", unit: unitKeys, width: 8,
			text: "Keys read, written and evicted. Evictions as fast as writes mean that every new chunk costs an old one.",
			lines: []line{
				{"{{instance}} read", q.rate("instance", "l1_read_keys"), false},
				{"{{instance}} written", q.rate("instance", "l1_write_keys"), false},
				{"{{instance}} evicted", q.rate("instance", "l1_evicted_keys"), false},
			},
		},
		{
			title: "L1 eviction loop", unit: unitRate, width: 8,
			text: "Ticks of the loop, one a second, and those with work to do. A flat line of ticks at 0 means that the loop stands.",
			lines: []line{
				{"{{instance}} ticks", q.rate("instance", "l1_eviction_loop_ticks"), false},
				{"{{instance}} triggered", q.rate("instance", "l1_eviction_loop_triggered"), false},
			},
		},
		{
			title: "L1 removals by cause", unit: unitKeys, width: 8, stack: "normal",
			text: "Every removal from L1. Only evict means that memory was needed; the others are deletions by policy, by hand or of temporary objects.",
			lines: []line{
				{"{{cause}}", q.rate("cause", "l1_removed_keys"), false},
			},
		},
		{
			title: "L1 objects", unit: unitShort, width: 8, stack: "normal",
			text: "Objects by state. Those being written or read cannot be evicted: if they fill L1, stores fail.",
			lines: []line{
				{"{{state}}", q.sum("state", "l1_objects"), false},
			},
		},
		{
			title: "Storage manager", unit: unitKeys, width: 8,
			text: "Keys of reads and writes. Reads not found lie behind the first gap of the prefix; writes not granted had no memory, or the key was there.",
			lines: []line{
				{"read, found", q.rate("", "sm_read_succeed_keys"), false},
				{"read, not found", q.rate("", "sm_read_failed_keys"), false},
				{"write, granted", q.rate("", "sm_write_succeed_keys"), false},
				{"write, not granted", q.rate("", "sm_write_failed_keys"), false},
			},
		},
		{
			title: "Leases and jobs out of time", unit: unitRate, width: 8,
			text: "Leases that were not given back in time, and prefetch jobs whose result nobody asked for: a host that forgets, or that died.",
			lines: []line{
				{"{{instance}} {{kind}} lease", q.rate("instance, kind", "lease_expired"), false},
				{"{{instance}} prefetch job", q.rate("instance", "prefetch_jobs_expired"), false},
			},
		},
	}
}

func pipelinePanels(q promql) []panel {
	return []panel{
		{
			title: "L2 store pipeline", unit: unitKeys, width: 6,
			text: "Keys on their way to outer tiers: given to a tier, stored, failed. A lasting gap between the first two is a tier that falls behind.",
			lines: []line{
				{"submitted", q.rate("", "l2_store_keys"), false},
				{"stored", q.rate("", "l2_store_succeeded_keys"), false},
				{"failed", q.rate("", "l2_store_failed_keys"), false},
			},
		},
		{
			title: "L2 stores dropped", unit: unitKeys, width: 6,
			text: "Keys that an outer tier never got, by reason. backlog and evicted: it is too slow for what is computed; no_space: it is full; too_large: it never takes such keys; retries: it fails.",
			lines: []line{
				{"{{instance}} {{l2_name}} {{adapter_index}} {{reason}}", q.rate("instance, l2_name, adapter_index, reason", "l2_store_dropped_keys"), false},
			},
		},
		{
			title: "L2 prefetch pipeline", unit: unitKeys, width: 6,
			text: "Keys on their way from outer tiers: asked for, found, to be loaded, loaded, failed.",
			lines: []line{
				{"asked for", q.rate("", "l2_prefetch_lookup_keys"), false},
				{"found", q.rate("", "l2_prefetch_hit_keys"), false},
				{"to load", q.rate("", "l2_prefetch_load_keys"), false},
				{"loaded", q.rate("", "l2_prefetch_loaded_keys"), false},
				{"failed", q.rate("", "l2_prefetch_failed_keys"), false},
			},
		},
		{
			title: "In flight", unit: unitShort, width: 6,
			text: "Prefetch jobs that are not consumed yet, and stores and retrieves on the devices' streams. A line that only rises is work that nobody finishes.",
			lines: []line{
				{"{{instance}} prefetch jobs", q.sum("instance", "active_prefetch_jobs"), false},
				{"{{instance}} {{device}} stores", q.sum("instance, device", "num_submitted_stores") + " - " + q.sum("instance, device", "num_finished_stores"), false},
				{"{{instance}} {{device}} retrieves", q.sum("instance, device", "num_submitted_retrieves") + " - " + q.sum("instance, device", "num_finished_retrieves"), false},
			},
		},
	}
}

func busPanels(q promql) []panel {
	return []panel{
		{
			title: "Event bus queue", unit: unitShort, width: 8,
			text: "Events that wait for the dispatcher; the red lines are what each class admits. What finds no room is dropped.",
			lines: []line{
				{"{{instance}}", q.sum("instance", "event_bus.queue_depth"), false},
				{"limit {{class}} {{instance}}", q.max("instance, class", "event_bus.queue_limit"), true},
			},
		},
		{
			title: "Event bus lag", unit: unitSeconds, width: 8, steps: bad(2),
			text: "Age of the oldest waiting event. Lag alone loses nothing; it says that logs, spans and counters are behind.",
			lines: []line{
				{"{{instance}}", q.max("instance", "event_bus.drain_lag_seconds"), false},
			},
		},
		{
			title: "Events dropped by type", unit: unitShort, width: 8,
			text: "Events lost between two points, by type and queue; no line is no loss. Bulk events cost counters their exactness; isolated ones are lines of the logs and of the request log.",
			lines: []line{
				{"{{instance}} {{event_type}} ({{class}})", q.since("instance, event_type, class", "event_bus.dropped_events_by_type") + " > 0", false},
				{"{{instance}} shared queue", q.increase("instance", "event_bus.dropped_events_total"), false},
			},
		},
		{
			title: "Subscriber faults", unit: unitShort, width: 8,
			text: "Between two points, if there were any: panics of event handlers, recovered, and entries that a subscriber forgot because its state is bounded: samples that are missing.",
			lines: []line{
				{"{{instance}} {{subscriber_name}} panics", q.since("instance, subscriber_name", "event_bus.subscriber_exceptions") + " > 0", false},
				{"{{instance}} {{subscriber_name}} {{state}} full", q.since("instance, subscriber_name, state", "subscriber_overflow") + " > 0", false},
			},
		},
		{
			title: "Refused values and folded labels", unit: unitRate, width: 8,
			text: "Values that were refused, label values beyond the limit (they count under __other__), and steps of the wall clock.",
			lines: []line{
				{"{{instance}} {{metric}} {{reason}}", q.rate("instance, metric, reason", "invalid_samples"), false},
				{"{{instance}} {{label}} folded", q.rate("instance, label", "metrics_label_overflow"), false},
				{"{{instance}} clock steps", q.rate("instance", "clock_steps"), false},
			},
		},
		{
			title: "Versions", unit: unitShort, width: 8, kind: kindTable,
			text: "Version and identity of each server, and the digest of its configuration: servers that should be equal show equal digests.",
			lines: []line{
				{"", q.series("build_info", "") + ` * on (instance) group_left (service_instance_id, service_name) target_info`, false},
				{"", q.series("config_info", ""), false},
			},
		},
	}
}
