package flags

import (
	"strings"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// Observability holds the flags of the event bus and the metrics.
type Observability struct {
	Disable           bool    `name:"disable-observability" group:"Observability" help:"No event bus, no metrics, no port for them"`
	DisableMetrics    bool    `name:"disable-metrics" group:"Observability" help:"No metrics and no port for them"`
	QueueSize         int     `name:"event-bus-queue-size" group:"Observability" default:"10000" min:"1" help:"Events that may wait, in each of the two classes"`
	PrometheusHost    string  `name:"prometheus-host" group:"Observability" default:"0.0.0.0" help:"Address that metrics are scraped at"`
	PrometheusPort    int     `name:"prometheus-port" group:"Observability" default:"9090" min:"0" max:"65535" help:"Port that metrics are scraped at; 0 takes any free one"`
	ServiceInstanceID *string `name:"service-instance-id" group:"Observability" emptyenv:"" placeholder:"ID" help:"Name of this process in metrics, spans and logs; unset takes a random UUID"`
	InstanceID        *string `name:"instance-id" group:"Observability" placeholder:"ID" help:"Another name of --service-instance-id"`
	Buckets           string  `name:"metrics-buckets" group:"Observability" default:"tuned" choices:"tuned,otel" help:"Bounds of the histograms"`
	Compat            string  `name:"metrics-compat" group:"Observability" default:"none" choices:"none,later" help:"Names that a scrape has besides: later adds those of later releases of LMCache"`
	LabelLimit        int     `name:"metrics-label-limit" group:"Observability" default:"200" min:"1" help:"Values of a label that keep their own series"`
	SampleRate        float64 `name:"metrics-sample-rate" group:"Observability" default:"0.01" help:"Share of chunks, blocks and transfers that lifecycle and throughput histograms follow: above 0, up to 1"`

	Logs  `kong:"embed"`
	Spans `kong:"embed"`
}

// Check reports values that do not fit each other.
func (o *Observability) Check(p *cli.Problems) {
	if a, b := o.ServiceInstanceID, o.InstanceID; a != nil && b != nil && *a != *b {
		p.Flag("instance-id", "differs from --service-instance-id, which means the same")
	}
	o.Spans.check(p, o.Disable)
	if !(o.SampleRate > 0 && o.SampleRate <= 1) {
		p.Flag("metrics-sample-rate", "sample_rate must be in (0, 1.0], got %v", o.SampleRate)
	}
	if !o.Disable {
		o.Logs.check(p)
		return
	}
	var idle []string
	for _, name := range append([]string{
		"disable-metrics", "event-bus-queue-size", "prometheus-host", "prometheus-port",
		"service-instance-id", "instance-id", "metrics-buckets", "metrics-compat", "metrics-label-limit", "metrics-sample-rate",
		"disable-logging", "request-log", "request-log-max-size", "request-log-max-files",
	}, spanNames()...) {
		if p.IsSet(name) {
			idle = append(idle, "--"+name)
		}
	}
	if len(idle) > 0 {
		p.Warn("--disable-observability leaves no effect to %s", strings.Join(idle, ", "))
	}
}

// Instance is the instance id that was given; ok is false if none was. An empty
// text is an id.
func (o *Observability) Instance() (id string, ok bool) {
	for _, given := range []*string{o.ServiceInstanceID, o.InstanceID} {
		if given != nil {
			return *given, true
		}
	}
	return "", false
}

// Metrics tells whether metrics are wanted.
func (o *Observability) Metrics() bool { return !o.Disable && !o.DisableMetrics }

// Listener is where metrics are served; port 0 if nowhere that is known before.
func (o *Observability) Listener() Listener {
	if !o.Metrics() {
		return Listener{}
	}
	return Listener{Flag: "prometheus-port", Host: o.PrometheusHost, Port: o.PrometheusPort}
}
