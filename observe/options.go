package observe

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
)

// Options are the settings of observability that an embedder fills in. The zero
// value means the defaults: metrics on. Nothing is read from the environment.
type Options struct {
	Disable        bool    // nothing at all: Start subscribes nothing
	DisableMetrics bool    // no metric subscribers and no gauges
	QueueSize      int     // events that each admission class of the bus lets wait; 0: 10,000
	PrometheusHost string  // address that serves /metrics; empty: 0.0.0.0
	PrometheusPort int     // its port; 0: 9090, AnyPort: a free one
	InstanceID     *string // service.instance.id, verbatim; nil: a random UUID
	Buckets        Buckets // bounds of the histograms; empty: Tuned
	Compat         Compat  // names that a scrape has; empty: CompatNone
	LabelLimit     int     // values of cache_salt and of model_name with series of their own; 0: 200
	SampleRate     float64 // share that the lifecycle and throughput histograms follow, up to 1; 0: 0.01

	OTLPEndpoint string        // HOST:PORT or URL that metrics, and with Tracing spans, are pushed to; empty: nowhere
	Tracing      bool          // push spans to OTLPEndpoint
	SpanOutput   string        // file that spans are appended to, or SpanStdout; empty: none
	SpanMaxAge   time.Duration // see SpanOptions.MaxAge
	OTLPLogs     bool          // push log records to OTLPEndpoint
	Exemplars    *SpanRegistry // whose sessions' traces are the exemplars of latency and throughput; nil: no exemplars
}

// AnyPort asks for any free port.
const AnyPort = -1

// Defaults of Options.
const (
	DefaultPrometheusHost = "0.0.0.0"
	DefaultPrometheusPort = 9090
	DefaultQueueSize      = 10_000
)

// Metrics reports whether metrics are on.
func (o Options) Metrics() bool { return !o.Disable && !o.DisableMetrics }

// WithDefaults returns o with its zero fields filled in, except InstanceID.
func (o Options) WithDefaults() Options {
	if o.QueueSize == 0 {
		o.QueueSize = DefaultQueueSize
	}
	if o.PrometheusHost == "" {
		o.PrometheusHost = DefaultPrometheusHost
	}
	if o.PrometheusPort == 0 {
		o.PrometheusPort = DefaultPrometheusPort
	}
	if o.Buckets == "" {
		o.Buckets = Tuned
	}
	if o.Compat == "" {
		o.Compat = CompatNone
	}
	if o.LabelLimit == 0 {
		o.LabelLimit = DefaultLabelLimit
	}
	if o.SampleRate == 0 {
		o.SampleRate = DefaultSampleRate
	}
	return o
}

// Bus are the options of a bus that this asks for. It logs to log; nil: nowhere.
func (o Options) Bus(log *slog.Logger) eventbus.Options {
	return eventbus.Options{Queue: o.WithDefaults().QueueSize, Disabled: o.Disable, Logger: log}
}

// Listen is the address for scrapers as a listener takes it: port 0 is any free one.
func (o Options) Listen() (host string, port int) {
	o = o.WithDefaults()
	if o.PrometheusPort == AnyPort {
		return o.PrometheusHost, 0
	}
	return o.PrometheusHost, o.PrometheusPort
}

// Validate returns everything that is wrong with o, or nil.
func (o Options) Validate() error {
	var errs []error
	if o.QueueSize < 0 {
		errs = append(errs, fmt.Errorf("queue size %d: must be at least 1", o.QueueSize))
	}
	if o.PrometheusPort < AnyPort || o.PrometheusPort > 65535 {
		errs = append(errs, fmt.Errorf("prometheus port %d: must be 0 to 65535", o.PrometheusPort))
	}
	errs = append(errs, o.Buckets.Validate(), o.Compat.Validate())
	if o.LabelLimit < 0 {
		errs = append(errs, fmt.Errorf("label limit %d: must be at least 1", o.LabelLimit))
	}
	errs = append(errs, o.spanErrors()...)
	if err := checkRate(o.WithDefaults().SampleRate); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("observe: %w", err)
	}
	return nil
}
