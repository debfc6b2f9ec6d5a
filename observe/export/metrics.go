package export

import (
	"context"
	"errors"
	"fmt"
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
)

// maxScrapes is how many scrapes may run at a time; further ones get 503.
const maxScrapes = 16

// Options configures Metrics. The zero value is valid.
type Options struct {
	InstanceID *string              // service.instance.id, verbatim; nil: the environment's, else a random UUID per process
	Registry   *prometheus.Registry // gets the metrics; nil: a new one
	Process    bool                 // add go_* and process_*; for programs, not for libraries in one
	Logger     *slog.Logger         // nil: no logs
}

// Metrics is a meter provider that Prometheus scrapes. All methods are safe for
// concurrent use; a nil Metrics is one that is switched off. Shutdown it after the
// bus that feeds it.
type Metrics struct {
	provider *sdkmetric.MeterProvider
	handler  http.Handler
	resource *resource.Resource
	log      *slog.Logger
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
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	res, err := newResource(o.InstanceID)
	if err != nil {
		return nil, err
	}
	reader, err := otelprom.New(
		otelprom.WithRegisterer(o.Registry),
		otelprom.WithoutScopeInfo(),
		otelprom.WithoutUnits(), //nolint:staticcheck // no translation strategy adds _total and not the units
	)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if o.Process {
		err = errors.Join(
			o.Registry.Register(collectors.NewGoCollector()),
			o.Registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
		)
		if err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
	}
	m := &Metrics{resource: res, log: o.Logger}
	m.provider = sdkmetric.NewMeterProvider(
		sdkmetric.WithResource(res),
		sdkmetric.WithReader(reader),
		sdkmetric.WithCardinalityLimit(0), // the label guard of observe keeps totals exact; this limit would not
		sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter),
	)
	m.handler = promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{
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
// client asks for it. It does not look at the path. It is nil when metrics are off.
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

// Shutdown closes the listeners, waiting for scrapes in progress until ctx ends,
// and then the provider. It is idempotent.
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
	if err := m.provider.Shutdown(ctx); err != nil {
		errs = append(errs, fmt.Errorf("export: %w", err))
	}
	return errors.Join(errs...)
}

// errorLog gives the handler's complaints to a logger.
type errorLog struct{ log *slog.Logger }

// Println logs one complaint.
func (l errorLog) Println(v ...any) { l.log.Warn("metrics: scrape: " + fmt.Sprint(v...)) }
