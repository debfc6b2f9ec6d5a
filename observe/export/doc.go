// Package export assembles the OpenTelemetry SDK. For metrics: a meter provider
// that a Prometheus registry reads, the handler of that registry, a listener for
// scrapers, and, if an endpoint is given, a push of the same values by OTLP. For
// spans: a tracer provider whose spans go to an OTLP collector, a file, or both. For
// logs: a logger provider whose records go to an OTLP collector.
//
// It is the only package that links the SDK. An embedder who has a provider of
// their own does not need it: package observe asks for the OpenTelemetry API only.
//
//	bus := eventbus.New(o.Bus(log)) // o is an observe.Options; zero is fine
//	m, err := export.Open(ctx, o, export.Options{Logger: log})
//	sp, err := export.OpenSpans(o, export.Options{Logger: log}) // and, if o.Spans():
//	subs, err := observe.SpanSubscribers(sp.TracerProvider(), observe.SpanOptions{})
//	_, err = bus.Subscribe(subs[0]) // and the others
//	ob, err := observe.Start(bus, m.MeterProvider(), o)
//	eng, err := lmcache.Open(ctx, lmcache.Options{Bus: bus, …})
//	err = ob.Watch(observe.Sources{Engine: eng, Bus: bus})
//	…
//	eng.Close(ctx); bus.Close(ctx); ob.Close(); sp.Shutdown(ctx); m.Shutdown(ctx) // in this order nothing is missing
//
// [OpenLogs] makes what [observe.NewLogBridge] takes; shut it down last. [NewMetrics],
// [NewSpans] and [NewLogs] are for those who put the parts together differently.
//
// # Failure
//
// What a collector or a file does not take is counted ([Metrics.Pushed],
// [Spans.Stats], [Logs.Stats]) and logged at most once a minute. It never becomes an error of a
// request, delays nobody, and holds a shutdown up for five seconds at most.
//
// # Names
//
// A metric's Prometheus name is its OTel name with underscores for dots; counters
// end in exactly one _total. No unit suffix is added, no otel_scope label is on a
// series, and what describes the process is on target_info alone.
//
// # Resource
//
// The SDK reads OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES from the
// environment, as every program built on it does. They win over the default
// service.name, lmcache-go, and over the random service.instance.id, but not over
// an instance id that was given. The OTLP exporters take headers and certificates
// from the OTEL_EXPORTER_OTLP variables, and nothing else that matters: endpoint,
// times, sizes, sampling and temporality are given.
package export
