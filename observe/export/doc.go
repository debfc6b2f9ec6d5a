// Package export assembles the OpenTelemetry SDK for metrics: a meter provider
// whose reader is a Prometheus registry, the handler of that registry, and a
// listener for scrapers.
//
// It is the only package that links the SDK. An embedder who has a provider of
// their own does not need it: package observe asks for the OpenTelemetry API only.
//
//	bus := eventbus.New(o.Bus(log)) // o is an observe.Options; zero is fine
//	m, err := export.Open(ctx, o, export.Options{Logger: log})
//	ob, err := observe.Start(bus, m.MeterProvider(), o)
//	eng, err := lmcache.Open(ctx, lmcache.Options{Bus: bus, …})
//	err = ob.Watch(observe.Sources{Engine: eng, Bus: bus})
//	…
//	eng.Close(ctx); bus.Close(ctx); ob.Close(); m.Shutdown(ctx) // in this order nothing is missing
//
// [NewMetrics] is for those who put the parts together differently.
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
// an instance id that was given. Nothing else is read from the environment.
package export
