package export

import (
	"context"
	"errors"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/observe"
)

// Telemetry is the usual assembly: a provider, the default subscribers of one bus,
// and the listener for scrapers. Its fields are nil when metrics are off, and their
// methods then do nothing where Telemetry calls them.
type Telemetry struct {
	Metrics  *Metrics
	Observer *observe.Observer
	Server   *Server
}

// Start assembles what o asks for and serves /metrics. InstanceID is taken from o.
// It reports a port that cannot be bound, and leaves nothing behind when it fails.
func Start(ctx context.Context, bus *eventbus.Bus, o observe.Options, eo Options) (*Telemetry, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	t := &Telemetry{}
	if !o.Metrics() {
		return t, nil
	}
	eo.InstanceID = o.InstanceID
	var err error
	if t.Metrics, err = NewMetrics(eo); err != nil {
		return nil, err
	}
	if t.Observer, err = observe.Start(bus, t.Metrics.MeterProvider(), o); err == nil {
		host, port := o.Listen()
		t.Server, err = t.Metrics.Listen(ctx, host, port)
	}
	if err != nil {
		return nil, errors.Join(err, t.Close(context.WithoutCancel(ctx)))
	}
	return t, nil
}

// Watch shows the state of s as gauges; see [observe.Watch].
func (t *Telemetry) Watch(s observe.Sources) error { return t.Observer.Watch(s) }

// Close ends the subscriptions, the listener and the provider, waiting for scrapes
// until ctx ends. Close the bus before, so that nothing it admitted is missing. It
// is idempotent.
func (t *Telemetry) Close(ctx context.Context) error {
	err := t.Observer.Close()
	if t.Metrics != nil {
		err = errors.Join(err, t.Metrics.Shutdown(ctx))
	}
	return err
}
