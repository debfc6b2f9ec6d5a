package artefact

// alerts are all alert rules.
func alerts(q promql, o RulesOptions) []alert {
	var all []alert
	for _, some := range [][]alert{lossAlerts(q), stallAlerts(q, o), trendAlerts(q)} {
		all = append(all, some...)
	}
	return all
}

// lossAlerts fire when something was lost or failed.
func lossAlerts(q promql) []alert {
	return []alert{
		{
			name: "LMCacheL1ReadFailures", severity: severityPage, hold: "5m",
			value: q.rate("instance, during, reason", "l1_read_failure"), when: "> 0",
			summary:  "{{ $labels.instance }}: keys that lookups found cannot be read",
			measured: "{{ $value | humanize }} keys per second fail during {{ $labels.during }} with {{ $labels.reason }}.",
			means:    "A lookup found keys in L1 and the read right after it did not get them. Requests compute tokens that they were promised. Ordinary misses never count here.",
			look:     "The log for \"Some keys not found during retrieve!\", and whether leases run out of time (panel \"Leases and jobs out of time\"): a lease that ends too early lets its keys be evicted.",
			change:   "Raise --l1-read-ttl-seconds if hosts hold leases for longer. If no lease ran out, it is a bug: report it with the log and the request log.",
			panel:    "L1 read failures",
		},
		{
			name: "LMCacheL1AllocationFailures", severity: severityTicket,
			value: q.rate("instance, during", "l1_allocation_failure"), when: "> 0",
			summary:  "{{ $labels.instance }}: L1 has no memory for new keys",
			measured: "{{ $value | humanize }} keys per second got no memory during {{ $labels.during }}.",
			means:    "Memory was needed and nothing could be evicted: what is in L1 is being read or written, belongs to another tenant's quota, or one prompt is larger than L1. These chunks are not cached.",
			look:     "Panels \"L1 objects\" (much in reading or writing: too much at a time) and \"L1 usage\", and /status for the quotas of tenants.",
			change:   "Raise --l1-size-gb, lower the number of requests in flight, raise the quota of the tenant, or shorten --l1-read-ttl-seconds if leases are left behind.",
			panel:    "L1 allocation failures",
		},
		{
			name: "LMCacheL2StoresDropped", severity: severityTicket, hold: "5m",
			value: q.rate("instance, l2_name, adapter_index, reason", "l2_store_dropped_keys"), when: "> 0",
			summary:  "{{ $labels.instance }}: the outer tier {{ $labels.l2_name }} does not get all keys",
			measured: "{{ $value | humanize }} keys per second do not reach {{ $labels.l2_name }} ({{ $labels.adapter_index }}): {{ $labels.reason }}.",
			means:    "New keys are given up before the tier has them, and are lost when L1 evicts them. Requests are not affected now; later ones compute these tokens anew.",
			look:     "The label reason. no_space: the tier is full; too_large: it never takes keys of this size; retries: its stores fail, see failures_by_reason in /status; backlog and evicted: it is slower than what is computed, see panels \"L2 store pipeline\" and \"L1 ↔ L2 throughput\". The log has a warning for each reason, once a minute.",
			change:   "no_space: raise max_capacity_gb, let it evict, or free its disk (disk_min_free_gb stays free). too_large: smaller chunks or another tier. retries: repair the tier. backlog, evicted: a faster tier, zstd where the network is the limit, or a larger L1; --l2-store-max-backlog helps against bursts only.",
			panel:    "L2 stores dropped",
		},
		{
			name: "LMCacheEventsDropped", severity: severityTicket,
			value: q.increase("instance", "event_bus.dropped_events_total"), when: "> 0",
			summary:  "{{ $labels.instance }}: the event bus drops events, counters are too low",
			measured: "{{ $value | humanize }} events were dropped within 5 minutes.",
			means:    "Events came faster than subscribers took them, and the queue was full. Requests are not affected; metrics, spans and logs lack what was dropped.",
			look:     "Panels \"Events dropped by type\" (which events), \"Event bus lag\" and \"Subscriber faults\": a subscriber that blocks holds up all others.",
			change:   "Raise --event-bus-queue-size against bursts; move a slow subscriber of your own to a queue of its own (Subscription.Isolated); lower --metrics-sample-rate if the processor is busy.",
			panel:    "Events dropped by type",
		},
		{
			name: "LMCacheSubscriberExceptions", severity: severityTicket,
			value: q.since("instance, subscriber_name", "event_bus.subscriber_exceptions"), when: "> 0",
			summary:  "{{ $labels.instance }}: {{ $labels.subscriber_name }} panics",
			measured: "{{ $value | humanize }} panics of {{ $labels.subscriber_name }} were recovered within 5 minutes.",
			means:    "A subscriber's handler panicked. The others got the event all the same; what this subscriber shows is incomplete.",
			look:     "The log for \"EventBus: error in callback\", which has the stack.",
			change:   "Repair the subscriber if it is yours. If it is one of lmcache's own, report the stack; --disable-metrics or --disable-logging switch it off meanwhile.",
			panel:    "Subscriber faults",
		},
		{
			name: "LMCacheTraceRecordsDropped", severity: severityTicket,
			value: q.since("instance, reason", "trace_records_dropped"), when: "> 0",
			summary:  "{{ $labels.instance }}: the recorded trace has gaps",
			measured: "{{ $value | humanize }} records of calls were lost within 5 minutes ({{ $labels.reason }}).",
			means:    "Calls came faster than the recorder wrote them, or its file cannot be written. A replay of this trace is not what happened.",
			look:     "Free space and speed of the disk that the trace is written to, and panel \"Recorded calls\": how many were written meanwhile.",
			change:   "Write the trace to a faster disk, or record for a shorter time. Requests are not affected; without the recorder nothing is lost.",
			panel:    "Recorded calls",
		},
	}
}

// stallAlerts fire when something that should move does not.
func stallAlerts(q promql, o RulesOptions) []alert {
	jobs, loads := q.series("active_prefetch_jobs", ""), q.series("num_inflight_l2_loads", "")
	return []alert{
		{
			name: "LMCacheDown", severity: severityPage, hold: "1m",
			value: `up{job="lmcache-mp"}`, when: "== 0",
			summary:  "{{ $labels.instance }}: cannot be scraped",
			measured: "Prometheus gets no metrics from {{ $labels.instance }}.",
			means:    "The server is down, its metrics port cannot be reached, or its scrape takes longer than the timeout. Hosts that find no server compute everything.",
			look:     "Whether the process runs, then GET /healthcheck on its HTTP port, then the page of targets of Prometheus for the error.",
			change:   "Start the server again; its log says why it ended. If it runs, compare --prometheus-host and --prometheus-port with the target.",
			panel:    "Servers",
		},
		{
			name: "LMCacheEventBusLag", severity: severityTicket, hold: "30s",
			value: q.max("instance", "event_bus.drain_lag_seconds"), when: "> 2",
			summary:  "{{ $labels.instance }}: the event bus is behind",
			measured: "The oldest waiting event is {{ $value | humanizeDuration }} old.",
			means:    "The dispatcher does not keep up, or a subscriber blocks it. Nothing is lost yet; metrics, spans and logs are late.",
			look:     "Panel \"Event bus queue\": near its limit, drops come next. A goroutine dump shows the handler that blocks.",
			change:   "Give a subscriber that does I/O a queue of its own (Subscription.Isolated); give the process more processor time.",
			panel:    "Event bus lag",
		},
		{
			name: "LMCacheEvictionLoopFlat", severity: severityPage,
			value: "sum by (instance) (increase(" + q.series("l1_eviction_loop_ticks", "") + "[" + o.three() + "]))", when: "== 0",
			summary:  "{{ $labels.instance }}: the eviction loop stands",
			measured: "The eviction loop has not ticked for " + o.three() + ".",
			means:    "The loop ticks once a second also without traffic. In watermark mode L1 fills up and stores begin to fail; in exact mode eviction goes on, and only its report is missing.",
			look:     "Whether events are dropped or late (panels \"Events dropped by type\", \"Event bus lag\"): then only the count stands. Else a goroutine dump, for what holds L1's lock.",
			change:   "Restart the server after the dump was taken, and report it.",
			panel:    "L1 eviction loop",
		},
		{
			name: "LMCacheLoopStale", severity: severityPage,
			value: q.max("instance, loop", "loop_last_tick_seconds"), when: "> 10",
			summary:  "{{ $labels.instance }}: the loop {{ $labels.loop }} stands",
			measured: "{{ $labels.loop }} has had something to do for {{ $value | humanizeDuration }} without getting on.",
			means:    "A background loop is stuck, and the server reports that it is not ready. What the loop does stays undone: eviction, the end of leases and sessions, completed copies, or the delivery of events.",
			look:     "Panel \"Background loops\" for the name. stores and retrieves: the device does not finish; event_bus: a subscriber blocks (panel \"Event bus lag\"); l1_evictor: what holds L1's lock. A goroutine dump shows it.",
			change:   "Restart the server after the dump was taken. For event_bus give the subscriber that blocks a queue of its own (Subscription.Isolated).",
			panel:    "Background loops",
		},
		{
			name: "LMCacheL2TierDown", severity: severityTicket, hold: "5m",
			value: q.closed(), when: "== 0",
			summary:  "{{ $labels.instance }}: the outer tier {{ $labels.l2_name }} cannot be reached",
			measured: "The breaker of {{ $labels.l2_name }} ({{ $labels.adapter_index }}) has not been closed for 5 minutes.",
			means:    "Calls of the tier failed or timed out, one after the other, so it is left alone and asked again from time to time. The other tiers and L1 serve; what only this tier has is computed anew.",
			look:     "The log for \"a tier of the cache is not asked for a while\", which has the cause and the time of the next try, then the server, disk or network of the tier. Panel \"L2 breakers\" shows whether it comes and goes.",
			change:   "Repair the tier; it is used again by itself after the next try, which comes within its max_cooldown (5 minutes). If it is gone for good, take its --l2-adapter away.",
			panel:    "L2 breakers",
		},
		{
			name: "LMCacheL2LoadsGrowing", severity: severityTicket, hold: "10m",
			value: "deriv(" + loads + "[5m])", when: "> 0",
			guard:    "and min_over_time(" + loads + "[5m]) > 0",
			summary:  "{{ $labels.instance }}: loads from {{ $labels.l2_name }} pile up",
			measured: "Loads in flight from {{ $labels.l2_name }} ({{ $labels.adapter_index }}) have grown for 10 minutes, now by {{ $value | humanize }} per second.",
			means:    "An outer tier is asked for more than it delivers, or has stopped to answer. Requests wait up to their deadline, and the L1 memory of what is loading cannot be evicted.",
			look:     "Panels \"L2 tasks in flight\", \"L1 ↔ L2 throughput\" and \"Operation latency, p99\" (l2_queue against l2_load), then the disk or network of the tier.",
			change:   "Relieve or repair the tier, or run without it. If its throughput is as always, it is too slow for this load.",
			panel:    "L2 tasks in flight",
		},
		{
			name: "LMCachePrefetchJobsStuck", severity: severityTicket, hold: "5m",
			value: "min_over_time(" + jobs + "[15m])", when: "> 0",
			guard:    "and resets(" + jobs + "[15m]) == 0",
			summary:  "{{ $labels.instance }}: prefetch jobs are never consumed",
			measured: "At least {{ $value }} prefetch jobs have waited for 15 minutes, and their number has not fallen once.",
			means:    "Lookups are made and nobody asks for their results, or loads from an outer tier never end. Their leases keep memory from being evicted.",
			look:     "Panels \"Leases and jobs out of time\" (a host that forgets) and \"L2 prefetch pipeline\" (a tier that does not answer).",
			change:   "Repair the host that does not end its sessions; jobs are dropped after 600 seconds by themselves. Restart or take out the tier that hangs.",
			panel:    "In flight",
		},
	}
}

// trendAlerts fire when things are worse than they should be or were.
func trendAlerts(q promql) []alert {
	hour := q.over("1h")
	return []alert{
		{
			name: "LMCacheL1TooSmall", severity: severityTicket, hold: "15m",
			value: hour.quantile("0.5", "instance", "l1_chunk_evict_reuse_gap_seconds"), when: "< 60",
			guard:    "and on (instance) sum by (instance) (increase(" + q.series("l1_chunk_evict_reuse_gap_seconds", "_count") + "[1h])) >= 20",
			summary:  "{{ $labels.instance }}: chunks are needed again right after their eviction",
			measured: "Half of the evicted chunks in the sample were written again within {{ $value | humanizeDuration }}.",
			means:    "What is evicted is still in use: it is computed and stored again within a minute. L1 is smaller than the working set.",
			look:     "Panels \"Life of chunks in L1\" and \"Chunks between uses by tenant\": the capacity that would keep what is used again.",
			change:   "Raise --l1-size-gb; give a tenant that floods the cache a quota (IsolatedLRU); add an outer tier.",
			panel:    "Evicted and written again",
		},
		{
			name: "LMCacheL2LoadsSlow", severity: severityTicket, hold: "10m",
			value: recordedLoadSpeed + " / quantile_over_time(0.5, " + recordedLoadSpeed + "[7d])", when: "< 0.5",
			summary:  "{{ $labels.l2_name }}: loads are at less than half of their usual speed",
			measured: "Loads from {{ $labels.l2_name }} run at {{ $value | humanizePercentage }} of their 7-day median.",
			means:    "An outer tier delivers much more slowly than it did all week. Requests wait for it longer, up to their deadline.",
			look:     "Panels \"Operation latency, p99\" (l2_queue: too many tasks; l2_load: the tier itself) and \"L2 keys per task\", then the disk or network of the tier.",
			change:   "Relieve or repair the tier. While it is slower than computing the tokens, run without it.",
			panel:    "L1 ↔ L2 throughput",
		},
		{
			name: "LMCacheHitRateDropped", severity: severityTicket, hold: "15m",
			value: recordedModelHitRate + " - " + recordedModelHitRate + " offset 1d", when: "< -0.2",
			guard:    "and on (model_name) " + hour.increase("model_name", "lookups") + " >= 100",
			summary:  "{{ $labels.model_name }}: the hit rate is far below yesterday's",
			measured: "The hit rate of the last hour differs from the same hour yesterday by {{ $value | humanizePercentage }}.",
			means:    "Prompts find much less than a day ago: other traffic, a changed prompt template, a changed chunk size or hash, a smaller L1, or a server that started empty.",
			look:     "Panel \"Why chunks were missed\": absent is new traffic or another template, evicted is too little memory, others are failures. Then panels \"Versions\" and \"Hit rate by server\".",
			change:   "Undo the last change of template, routing or configuration; raise --l1-size-gb if misses were evicted. After a restart wait until the cache is warm.",
			panel:    "Hit rate by model",
		},
	}
}
