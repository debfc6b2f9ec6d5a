package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/observe/export"
)

// observability is the bus of a run and what listens to it. Without metrics,
// metrics and observer are nil.
type observability struct {
	bus      *eventbus.Bus
	metrics  *export.Metrics
	observer *observe.Observer
	logs     logs
	spans    *export.Spans // nil: none
}

// openObservability makes the bus and subscribes what the flags ask for. It opens
// no port.
func openObservability(o *flags.Observability, log *slog.Logger) (*observability, error) {
	ob := &observability{bus: eventbus.New(eventbus.Options{Queue: o.QueueSize, Disabled: o.Disable, Logger: log})}
	if !o.Metrics() {
		return ob, nil
	}
	eo := export.Options{Process: true, Logger: log, OTLPEndpoint: o.OTLPEndpoint}
	if id, ok := o.Instance(); ok {
		eo.InstanceID = &id
	}
	var err error
	if ob.metrics, err = export.NewMetrics(eo); err != nil {
		return nil, err
	}
	ob.observer, err = observe.Start(ob.bus, ob.metrics.MeterProvider(), observe.Options{
		QueueSize: o.QueueSize, Buckets: observe.Buckets(o.Buckets), LabelLimit: o.LabelLimit, SampleRate: o.SampleRate,
	})
	if err != nil {
		return nil, errors.Join(err, ob.metrics.Shutdown(context.Background()))
	}
	return ob, nil
}

// watch shows the state of an engine, and of the bus, as gauges.
func (o *observability) watch(eng *lmcache.Engine) error {
	if o.observer == nil {
		return nil
	}
	return o.observer.Watch(observe.Sources{
		Engine: eng, Bus: o.bus, Labels: o.observer.Labels(),
		Build: observe.Build{Version: readBuild().Version},
	})
}

// close delivers what is on the bus and then ends the exporters, both at a time.
// The engine must have been closed before.
func (o *observability) close(ctx context.Context) error {
	err := errors.Join(o.logs.close(o.bus.Close(ctx)), o.observer.Close())
	spans := make(chan error, 1)
	go func() { spans <- o.spans.Shutdown(ctx) }()
	return errors.Join(err, o.metrics.Shutdown(ctx), <-spans)
}
