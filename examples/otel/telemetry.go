package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/observe"
)

// telemetry is what the host has of its own.
type telemetry struct {
	meters *sdkmetric.MeterProvider
	spans  *sdktrace.TracerProvider
	server *http.Server
	served chan error
	url    string
}

// openTelemetry assembles the SDK as the host likes it. The options of the exporter keep
// the names of the cache's metrics as its documents have them: no units, no scope labels.
func openTelemetry(spans io.Writer) (*telemetry, error) {
	registry := prometheus.NewRegistry()
	reader, err := otelprom.New(
		otelprom.WithRegisterer(registry),
		otelprom.WithoutScopeInfo(),
		otelprom.WithoutUnits(), //nolint:staticcheck // no translation strategy adds _total and not the units
	)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t := &telemetry{
		meters: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
		spans:  sdktrace.NewTracerProvider(sdktrace.WithSyncer(&printer{to: spans})), // a batcher to a collector in real life
		server: &http.Server{Handler: mux, ReadHeaderTimeout: time.Second},
		served: make(chan error, 1),
		url:    "http://" + listener.Addr().String() + "/metrics",
	}
	go func() { t.served <- t.server.Serve(listener) }()
	return t, nil
}

// watch lets the host's providers and logger listen to the bus of a cache. What it
// returns shows the gauges of an engine too.
func (t *telemetry) watch(bus *eventbus.Bus, log *slog.Logger) (*observe.Observer, error) {
	observer, err := observe.Start(bus, t.meters, observe.Options{})
	if err != nil {
		return nil, err
	}
	spans, err := observe.NewSpanSubscriber(t.spans, observe.SpanOptions{})
	if err != nil {
		return nil, errors.Join(err, observer.Close())
	}
	if _, err := bus.Subscribe(spans); err != nil {
		return nil, errors.Join(err, observer.Close())
	}
	if _, err := observe.StartLogs(bus, log); err != nil { // while log logs DEBUG; the bus ends it
		return nil, errors.Join(err, observer.Close())
	}
	return observer, nil
}

// traceParent is the span of a context as a W3C trace context.
func traceParent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}

// show scrapes the host and prints some of the lines: its own counter, and what the cache
// has counted and holds.
func (t *telemetry) show(ctx context.Context, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, http.NoBody)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	for lines := bufio.NewScanner(res.Body); ; {
		if !lines.Scan() {
			return lines.Err()
		}
		for _, name := range []string{"host_requests_total", "lmcache_mp_lookup_hit_tokens_total", "lmcache_mp_lookup_requested_tokens_total", "lmcache_mp_l1_objects"} {
			if strings.HasPrefix(lines.Text(), name) {
				if _, err := fmt.Fprintln(out, lines.Text()); err != nil {
					return err
				}
			}
		}
	}
}

// close ends the providers and the server.
func (t *telemetry) close(ctx context.Context) error {
	err := errors.Join(t.spans.Shutdown(ctx), t.meters.Shutdown(ctx), t.server.Shutdown(ctx))
	if served := <-t.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// printer prints a line per span that has ended.
type printer struct {
	mu sync.Mutex
	to io.Writer
}

// ExportSpans is called by the tracer provider.
func (p *printer) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range spans {
		parent := "no parent"
		if s.Parent().IsValid() {
			parent = "parent " + s.Parent().SpanID().String()
		}
		_, err := fmt.Fprintf(p.to, "span %s of trace %s, %s: %s\n", s.SpanContext().SpanID(), s.SpanContext().TraceID(), parent, s.Name())
		if err != nil {
			return err
		}
	}
	return nil
}

// Shutdown has nothing to end.
func (*printer) Shutdown(context.Context) error { return nil }
