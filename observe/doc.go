// Package observe turns what the other packages publish and keep into metrics and logs. It
// listens and reads; nobody calls it, nothing waits for it, and without it
// everything works the same.
//
// # The table
//
// One Go table declares every metric: name, kind, unit, attributes, meter, help,
// and the event or state it comes from ([Metrics]). Instruments are made from
// it and from nothing else; docs/METRICS.md is written from it
// ([WriteMetricsMarkdown]).
//
// # Subscribers and gauges
//
// Counters and histograms are moved by subscribers of the event bus. [Start]
// registers the default set; each subscriber also works alone. Their state belongs
// to the bus's dispatcher: a handler adds to a plain integer, and the sums are given
// to the OpenTelemetry instruments once per batch, so that an event costs
// nanoseconds. The attribute set of a series is built once.
//
// Gauges, and the counters that the bus keeps of itself, are not events: [Watch]
// reads Stats of the live objects when somebody scrapes.
//
// # The sample
//
// The life of a chunk or block, the gap between two uses and the speed of a copy
// need state per chunk, block or copy. So a share of them is followed
// ([Options].SampleRate). Chunks are chosen by a hash of their key: without memory,
// and the same ones on every server and in every run. Blocks and copies, which have
// no such key, are drawn. All state is bounded, whatever the events say
// ([MaxL1Chunks] and the others); what a bound pushes out is counted in
// subscriber_overflow.
//
// # Lines
//
// [StartLogs] writes the DEBUG messages of events to a logger, [RequestLog] a line of
// JSON per finished request to any writer. Both do I/O, so they are isolated: they
// have queues of their own, lose what finds no room there, and delay nobody.
//
// # Traces
//
// [SpanSubscribers] make spans of requests. What they have open, and the roots that have
// ended, is in a [SpanRegistry] that others may ask: [NewLogBridge] gives a record the
// trace of its session, and histograms keep it as an exemplar.
//
// # Series
//
// Every point of a metric has the same attribute keys; what is not known is empty.
// Series that are known beforehand are there at 0: counters without attributes and
// enumerated reasons from the start, those of a model or worker from the scrape
// after its registration on. The values of model_name and cache_salt are bounded by
// [Labels].
//
// # What it links
//
// The OpenTelemetry API, with its bridge from slog, not the SDK: the provider is the host's. Package export
// assembles one.
package observe
