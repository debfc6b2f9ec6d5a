// Command otel is a host that has OpenTelemetry of its own: a meter provider that its
// Prometheus registry reads, a tracer provider, a logger. It hands them to package observe,
// so that the metrics of the cache are in the host's scrape and the spans of the cache in
// the host's traces. Nothing here needs package observe/export, which is for programs
// without an SDK.
package main
