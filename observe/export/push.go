package export

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/lmcache-go/lmcache/observe"
)

// Times of the push.
const (
	pushInterval  = 10 * time.Second // of metrics
	exportTimeout = 30 * time.Second // of one batch, with all its tries
	retryFirst    = time.Second
	retryMax      = 5 * time.Second
	reconnectMax  = 10 * time.Second
)

// reconnect is how soon a lost connection is tried again. Without it gRPC would
// wait for up to two minutes after a collector is back.
func reconnect() grpc.DialOption {
	c := backoff.DefaultConfig
	c.MaxDelay = reconnectMax
	return grpc.WithConnectParams(grpc.ConnectParams{Backoff: c, MinConnectTimeout: reconnectMax})
}

// newMetricPush returns a reader that pushes metrics to an endpoint. Nothing is
// connected before the first push.
func newMetricPush(endpoint string, log *slog.Logger) (sdkmetric.Reader, *delivery, error) {
	e, err := observe.ParseEndpoint(endpoint)
	if err != nil {
		return nil, nil, fmt.Errorf("export: OTLP endpoint %q: %w", endpoint, err)
	}
	exp, err := otlpmetricgrpc.New(context.Background(), //nolint:forbidigo // it is for nothing: no connection is made here
		otlpmetricgrpc.WithEndpointURL(e.URL()), otlpmetricgrpc.WithTimeout(exportTimeout), otlpmetricgrpc.WithDialOption(reconnect()),
		otlpmetricgrpc.WithTemporalitySelector(sdkmetric.DefaultTemporalitySelector), // cumulative
		otlpmetricgrpc.WithAggregationSelector(sdkmetric.DefaultAggregationSelector),
		otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMax, MaxElapsedTime: exportTimeout}))
	if err != nil {
		return nil, nil, fmt.Errorf("export: OTLP endpoint %q: %w", endpoint, err)
	}
	d := newDelivery("metrics", e.URL(), log)
	return sdkmetric.NewPeriodicReader(metricPush{exp, d}, sdkmetric.WithInterval(pushInterval), sdkmetric.WithTimeout(exportTimeout)), d, nil
}

// metricPush is an exporter of metrics that never fails.
type metricPush struct {
	sdkmetric.Exporter
	d *delivery
}

func (p metricPush) Export(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	p.d.do(ctx, points(rm), func(ctx context.Context) error { return p.Exporter.Export(ctx, rm) })
	return nil
}

// points counts the data points of rm.
func points(rm *metricdata.ResourceMetrics) (n int) {
	for _, s := range rm.ScopeMetrics {
		for _, m := range s.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				n += len(data.DataPoints)
			case metricdata.Gauge[int64]:
				n += len(data.DataPoints)
			case metricdata.Gauge[float64]:
				n += len(data.DataPoints)
			case metricdata.Histogram[float64]:
				n += len(data.DataPoints)
			default: // a host's own
				n++
			}
		}
	}
	return n
}

// newSpanPush returns an exporter that pushes spans to an endpoint. Nothing is
// connected before the first batch.
func newSpanPush(endpoint string, log *slog.Logger) (*spanDelivery, error) {
	e, err := observe.ParseEndpoint(endpoint)
	if err != nil {
		return nil, fmt.Errorf("export: OTLP endpoint %q: %w", endpoint, err)
	}
	exp, err := otlptracegrpc.New(context.Background(), //nolint:forbidigo // it is for nothing: no connection is made here
		otlptracegrpc.WithEndpointURL(e.URL()), otlptracegrpc.WithTimeout(exportTimeout), otlptracegrpc.WithDialOption(reconnect()),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMax, MaxElapsedTime: exportTimeout}))
	if err != nil {
		return nil, fmt.Errorf("export: OTLP endpoint %q: %w", endpoint, err)
	}
	return &spanDelivery{SpanExporter: exp, delivery: newDelivery("spans", e.URL(), log), kind: "OTLP exporter"}, nil
}

// spanDelivery is an exporter of spans that never fails.
type spanDelivery struct {
	sdktrace.SpanExporter
	*delivery

	kind string // for the log
}

// ExportSpans exports one batch.
func (s *spanDelivery) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	s.do(ctx, len(spans), func(ctx context.Context) error { return s.SpanExporter.ExportSpans(ctx, spans) })
	return nil
}
