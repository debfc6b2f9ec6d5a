package observe

// OTel names of what observing says of itself and of the process.
const (
	nameLoops        = "lmcache_mp.loop_last_tick_seconds"
	nameSpansLeaked  = "lmcache_mp.spans_leaked"
	nameTraceWritten = "lmcache_mp.trace_records_written"
	nameTraceDropped = "lmcache_mp.trace_records_dropped"
	nameCPU          = "lmcache_mp.observability_cpu_seconds"
	nameSeries       = "lmcache_mp.observability_series"
)

func selfRows() []Metric {
	return []Metric{
		{
			Name: nameLoops, Kind: Gauge, Float: true, Meter: meterExt, Attributes: []Attribute{{Key: "loop"}},
			Source: "lmcache.Stats, eventbus.Stats", Value: "seconds since the loop had something to do and has not got on; 0: it gets on, or has nothing to do",
			Help: "Age of the last progress of a background loop that has something to do. Above 10 the loop is stale, and the server is not ready.",
		},
		{
			Name: nameSpansLeaked, Kind: ObservableCounter, Meter: meterExt, Attributes: []Attribute{{Key: "kind"}},
			Source: "observe.SpanStats", Value: "spans given up",
			Help: "Spans that were given up because their end never came or too many were open, by kind.",
		},
		{
			Name: nameTraceWritten, Kind: ObservableCounter, Meter: meterExt,
			Source: "trace.Recorder", Value: "records written",
			Help: "Records of calls written to the trace file.",
		},
		{
			Name: nameTraceDropped, Kind: ObservableCounter, Meter: meterExt, Attributes: []Attribute{{Key: "reason", Values: []string{"queue", "encode", "write"}}},
			Source: "trace.Recorder", Value: "records lost",
			Help: "Records of calls that are missing in the trace file, by reason.",
		},
		{
			Name: nameCPU, Kind: ObservableCounter, Float: true, Meter: meterExt, Attributes: []Attribute{{Key: "subscriber_name"}},
			Source: "eventbus.Stats", Value: "seconds in which the subscriber's callbacks ran; of handlers, estimated from one event in 512",
			Help: "Time that the bus spent in a subscriber.",
		},
		{
			Name: nameSeries, Kind: Gauge, Meter: meterExt, Attributes: []Attribute{{Key: "metric"}},
			Source: "observe", Value: "series in a scrape; a histogram has one per bucket, and its sum and count; those of gauges may be of the scrape before, and this metric is left out",
			Help: "Series of each metric, by its OTel name: what a Prometheus server has to store.",
		},
	}
}
