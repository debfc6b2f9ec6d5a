package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/lmcache-go/lmcache/observe"
)

// maxScrapes is how many scrapes may run at a time; further ones get 503.
const maxScrapes = 16

// Options configures Metrics. The zero value is valid.
type Options struct {
	InstanceID *string               // service.instance.id, verbatim; nil: the environment's, else a random UUID per process
	Registry   *prometheus.Registry  // gets the metrics; nil: a new one
	Registerer prometheus.Registerer // gets the metrics instead; unless it is a Gatherer too, the host serves them and Handler is nil
	Process    bool                  // add go_* and process_*; for programs, not for libraries in one
	Logger     *slog.Logger          // nil: no logs

	Compat observe.Compat // names that Handler serves; empty: observe.CompatNone

	OTLPEndpoint string    // HOST:PORT or URL that is pushed to as well; empty: none
	SpanOutput   string    // file that spans are appended to, or observe.SpanStdout; empty: none
	Stdout       io.Writer // what observe.SpanStdout is; nil: that of the process

	Sessions  *observe.SpanRegistry // whose traces log records of sessions belong to; nil: none
	Exemplars bool                  // histograms keep the trace of a sample in each bucket, for scrapes in OpenMetrics and for OTLP
}

// Metrics is a meter provider that Prometheus scrapes, and that pushes the same
// values to a collector if Options.OTLPEndpoint names one. All methods are safe for
// concurrent use; a nil Metrics is one that is switched off. Shutdown it after the
// bus that feeds it.
type Metrics struct {
	provider *sdkmetric.MeterProvider
	handler  http.Handler
	resource *resource.Resource
	log      *slog.Logger
	push     []*delivery // none or one
	mu       struct {
		sync.Mutex
		closed  bool
		servers []*Server
	}
}

// NewMetrics assembles the provider. It opens no port; see Listen.
func NewMetrics(o Options) (*Metrics, error) {
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	registerer, gatherer := prometheus.Registerer(o.Registry), prometheus.Gatherer(o.Registry)
	if o.Registerer != nil {
		registerer = o.Registerer
		gatherer, _ = o.Registerer.(prometheus.Gatherer)
	}
	if err := o.Compat.Validate(); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if o.Compat == observe.CompatLater && gatherer != nil {
		gatherer = withLaterNames(gatherer)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	res, err := newResource(o.InstanceID)
	if err != nil {
		return nil, err
	}
	reader, err := otelprom.New(
		otelprom.WithRegisterer(registerer),
		otelprom.WithoutScopeInfo(),
		otelprom.WithoutUnits(), //nolint:staticcheck // no translation strategy adds _total and not the units
	)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if o.Process {
		err = errors.Join(
			registerer.Register(collectors.NewGoCollector()),
			registerer.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
		)
		if err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
	}
	m := &Metrics{resource: res, log: o.Logger}
	exemplars := exemplar.AlwaysOffFilter
	if o.Exemplars {
		exemplars = exemplar.TraceBasedFilter
	}
	opts := []sdkmetric.Option{
		sdkmetric.WithResource(res),
		sdkmetric.WithReader(reader),
		sdkmetric.WithCardinalityLimit(0), // the label guard of observe keeps totals exact; this limit would not
		sdkmetric.WithExemplarFilter(exemplars),
	}
	if o.OTLPEndpoint != "" {
		push, d, err := newMetricPush(o.OTLPEndpoint, o.Logger)
		if err != nil {
			return nil, err
		}
		opts, m.push = append(opts, sdkmetric.WithReader(push)), []*delivery{d}
		o.Logger.Info(fmt.Sprintf("OTel MeterProvider initialised with OTLP exporter (%s), resource=%s", d.to, res.String()),
			slog.String("to", d.to), slog.String("resource", res.String()))
	}
	m.provider = sdkmetric.NewMeterProvider(opts...)
	if gatherer == nil {
		return m, nil
	}
	m.handler = promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{
		ErrorLog:            errorLog{o.Logger},
		ErrorHandling:       promhttp.ContinueOnError, // one bad metric does not cost the others
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes,
	})
	return m, nil
}

// MeterProvider is what observe.Start and observe.Watch take.
func (m *Metrics) MeterProvider() metric.MeterProvider {
	if m == nil {
		return sdkmetric.NewMeterProvider() // without a reader: records nothing
	}
	return m.provider
}

// Handler answers a scrape, in the text format or OpenMetrics, compressed if the
// client asks for it. It does not look at the path. It is nil when metrics are off,
// and when the host's Registerer cannot be gathered from.
func (m *Metrics) Handler() http.Handler {
	if m == nil {
		return nil
	}
	return m.handler
}

// Resource is what describes this process, as comma-separated pairs.
func (m *Metrics) Resource() string {
	if m == nil {
		return ""
	}
	return m.resource.String()
}

// URLs are where to scrape, in the order of the calls of Listen.
func (m *Metrics) URLs() []string {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var urls []string
	for _, s := range m.mu.servers {
		urls = append(urls, s.URL())
	}
	return urls
}

// Pushed is what has become of the pushes; nothing if there is no endpoint.
func (m *Metrics) Pushed() Delivery {
	if m == nil || len(m.push) == 0 {
		return Delivery{}
	}
	return m.push[0].stats()
}

// Flush pushes the values of now, until ctx ends. What the collector does not take
// is counted, and no error.
func (m *Metrics) Flush(ctx context.Context) error {
	if m == nil {
		return nil
	}
	if err := m.provider.ForceFlush(ctx); err != nil {
		return fmt.Errorf("export: flush metrics: %w", err)
	}
	return nil
}

// Shutdown closes the listeners, waiting for scrapes in progress until ctx ends,
// and then the provider. A last push has 5 seconds at most and not longer than
// ctx; that a collector is not there is no error. It is idempotent.
func (m *Metrics) Shutdown(ctx context.Context) error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	if m.mu.closed {
		m.mu.Unlock()
		return nil
	}
	m.mu.closed = true
	servers := m.mu.servers
	m.mu.servers = nil
	m.mu.Unlock()
	var errs []error
	for _, s := range slices.Backward(servers) {
		errs = append(errs, s.Close(ctx))
	}
	return errors.Join(append(errs, shutdown(ctx, m.provider.Shutdown, m.push))...)
}

// errorLog gives the handler's complaints to a logger.
type errorLog struct{ log *slog.Logger }

// Println logs one complaint.
func (l errorLog) Println(v ...any) { l.log.Warn("metrics: scrape: " + fmt.Sprint(v...)) }
