package artefact

// tierPanels are the state of outer tiers.
func tierPanels(q promql) []panel {
	return []panel{
		{
			title: "L2 tasks in flight", unit: unitShort, width: 8,
			text: "Stores and loads that each outer tier works on. A tier without work has no line; one that only rises does not keep up.",
			lines: []line{
				{"{{instance}} {{l2_name}} {{adapter_index}} stores", q.sum("instance, l2_name, adapter_index", "num_inflight_l2_stores"), false},
				{"{{instance}} {{l2_name}} {{adapter_index}} loads", q.sum("instance, l2_name, adapter_index", "num_inflight_l2_loads"), false},
			},
		},
		{
			title: "L1 reserved by loads", unit: unitBytes, width: 8,
			text: "Bytes of L1 that are reserved for what outer tiers are loading.",
			lines: []line{
				{"{{instance}} {{l2_name}} {{adapter_index}}", q.sum("instance, l2_name, adapter_index", "inflight_load_memory_usage_bytes"), false},
			},
		},
		{
			title: "L2 memory", unit: unitBytes, width: 8,
			text: "Bytes held in outer tiers, and what they can hold as a red line; 0 is unknown or unlimited.",
			lines: []line{
				{"{{instance}} {{l2_name}}", q.sum("instance, l2_name", "l2_usage_bytes"), false},
				{"capacity {{instance}} {{l2_name}}", q.sum("instance, l2_name", "l2_capacity_bytes"), true},
			},
		},
		{
			title: "L2 breakers", unit: unitShort, width: 8,
			text: "Outer tiers that are left alone because they cannot be reached: 1 as long as the breaker is not closed. Changes count the outages (open) and the tries (half_open).",
			lines: []line{
				{"{{instance}} {{l2_name}} {{adapter_index}} not closed", "1 - " + q.closed(), false},
				{"{{instance}} {{l2_name}} {{adapter_index}} to {{state}}", q.increase("instance, l2_name, adapter_index, state", "l2_breaker_changes"), false},
			},
		},
		{
			title: "L2 read over written", unit: unitShort, width: 8,
			text: "Bytes read from outer tiers over bytes written to them. Near 0, what is written is never read: the tier is waste.",
			lines: []line{
				{"{{instance}}", q.max("instance", "l2_read_write_ratio"), false},
			},
		},
		{
			title: "Timeouts", unit: unitRate, width: 8,
			text: "Prefetches that went on without what an outer tier did not deliver in time, and loads that a tier gave up.",
			lines: []line{
				{"{{instance}} {{exception_type}}", q.rate("instance, exception_type", "timeouts"), false},
			},
		},
	}
}

// closed is 1 for each outer tier whose breaker is closed, else 0.
func (q promql) closed() string {
	return q.max("instance, l2_name, adapter_index", "l2_breaker_state", `state="closed"`)
}

// processPanels are what observing costs, and what does not get on.
func processPanels(q promql) []panel {
	return []panel{
		{
			title: "Background loops", unit: unitSeconds, width: 8, steps: bad(10),
			text: "For how long each loop has had something to do without getting on. 0 is well; above 10 the server is not ready.",
			lines: []line{
				{"{{instance}} {{loop}}", q.max("instance, loop", "loop_last_tick_seconds"), false},
			},
		},
		{
			title: "Spans given up", unit: unitShort, width: 8,
			text: "Between two points: spans whose end never came, or that were too many.",
			lines: []line{
				{"{{instance}} {{kind}}", q.since("instance, kind", "spans_leaked"), false},
			},
		},
		{
			title: "Recorded calls", unit: unitRate, width: 8,
			text: "Records of calls written to the trace file, and those that are missing in it.",
			lines: []line{
				{"{{instance}} written", q.rate("instance", "trace_records_written"), false},
				{"{{instance}} lost: {{reason}}", q.rate("instance, reason", "trace_records_dropped"), false},
			},
		},
		{
			title: "Cost of observing", unit: unitShort, width: 12,
			text: "Share of one processor core that each subscriber of the event bus takes.",
			lines: []line{
				{"{{instance}} {{subscriber_name}}", q.rate("instance, subscriber_name", "observability_cpu_seconds"), false},
			},
		},
		{
			title: "Series by metric", unit: unitShort, width: 12,
			text: "Series that Prometheus keeps, of the 15 metrics with most. What grows has a label whose values grow.",
			lines: []line{
				{"{{metric}}", "topk(15, " + q.sum("metric", "observability_series") + ")", false},
			},
		},
	}
}
