package observe

import (
	"errors"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache/eventbus"
)

// Observer is the default set of subscribers on one bus, and the gauges of what
// it was told to watch. Its methods are safe for concurrent use; a nil Observer and
// the zero value observe nothing.
type Observer struct {
	mp     metric.MeterProvider // nil: metrics are off
	labels *Labels
	blocks *L0LifecycleSubscriber
	mu     struct {
		sync.Mutex
		closed bool
		subs   []*eventbus.Subscription
		stop   func()
	}
}

// Start subscribes the default set to bus, in the order of the documentation,
// with instruments from mp. Events published before are not seen. With metrics
// off it subscribes nothing and asks nothing of mp. Close the Observer after the
// bus, or before it to stop observing.
func Start(bus *eventbus.Bus, mp metric.MeterProvider, o Options) (*Observer, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	ob := &Observer{}
	if !o.Metrics() {
		return ob, nil
	}
	labels, err := NewLabels(mp, o.LabelLimit)
	if err != nil {
		return nil, err
	}
	ob.mp, ob.labels = mp, labels
	subs, err := Subscribers(mp, MetricOptions{Buckets: o.Buckets, Labels: labels, SampleRate: o.SampleRate, Exemplars: o.Exemplars})
	if err != nil {
		return nil, err
	}
	for _, s := range subs {
		if l0, ok := s.(*L0LifecycleSubscriber); ok {
			ob.blocks = l0
		}
		sub, err := bus.Subscribe(s)
		if err != nil {
			return nil, errors.Join(err, ob.Close())
		}
		ob.mu.subs = append(ob.mu.subs, sub)
	}
	return ob, nil
}

// Subscribers makes the default set of metric subscribers, in the order in which
// they are registered. Each of them also works alone.
func Subscribers(mp metric.MeterProvider, o MetricOptions) ([]eventbus.Subscriber, error) {
	if mp == nil {
		return nil, errNoProvider
	}
	if o.Labels == nil {
		var err error
		if o.Labels, err = NewLabels(mp, 0); err != nil {
			return nil, err
		}
	}
	b := builder{mp: mp, o: o}
	add(&b, NewL0LifecycleSubscriber)
	add(&b, NewL1MetricsSubscriber)
	add(&b, NewL1LifecycleSubscriber)
	add(&b, NewL1FailureMetricsSubscriber)
	add(&b, NewL1EvictionLoopSubscriber)
	add(&b, NewL0L1ThroughputSubscriber)
	add(&b, NewL2MetricsSubscriber)
	add(&b, NewL2FailureMetricsSubscriber)
	add(&b, NewL2ThroughputSubscriber)
	add(&b, NewLookupMetricsSubscriber)
	add(&b, NewSMMetricsSubscriber)
	add(&b, NewSMLifecycleSubscriber)
	add(&b, NewBlendMetricsSubscriber)
	add(&b, NewEngineMetricsSubscriber)
	add(&b, NewCauseMetricsSubscriber)
	add(&b, NewTransferMetricsSubscriber)
	add(&b, NewLatencyMetricsSubscriber)
	if err := errors.Join(b.errs...); err != nil {
		return nil, err
	}
	return b.subs, nil
}

type builder struct {
	mp   metric.MeterProvider
	o    MetricOptions
	subs []eventbus.Subscriber
	errs []error
}

func add[S eventbus.Subscriber](b *builder, construct func(metric.MeterProvider, MetricOptions) (S, error)) {
	s, err := construct(b.mp, b.o)
	if err != nil {
		b.errs = append(b.errs, err)
		return
	}
	b.subs = append(b.subs, s)
}

// Watch is [Watch] with the Observer's provider and label guard. It replaces what
// the Observer watched before, and does nothing when metrics are off or the
// Observer is closed.
func (ob *Observer) Watch(s Sources) error {
	if ob == nil {
		return nil
	}
	ob.mu.Lock()
	defer ob.mu.Unlock()
	if ob.mp == nil || ob.mu.closed {
		return nil
	}
	if s.Labels == nil {
		s.Labels = ob.labels
	}
	stop, err := Watch(ob.mp, s)
	if err != nil {
		return err
	}
	ob.mu.stop = stop
	ob.blocks.Watch(s.Engine)
	return nil
}

// Labels is the guard that the subscribers share; nil when metrics are off.
func (ob *Observer) Labels() *Labels {
	if ob == nil {
		return nil
	}
	return ob.labels
}

// Close ends the subscriptions, last one first, and removes the gauges. When it
// returns, no handler runs any more. It is idempotent and never fails.
func (ob *Observer) Close() error {
	if ob == nil {
		return nil
	}
	ob.mu.Lock()
	subs, stop := ob.mu.subs, ob.mu.stop
	ob.mu.subs, ob.mu.stop, ob.mu.closed = nil, nil, true
	ob.mu.Unlock()
	for _, s := range slices.Backward(subs) {
		s.Close()
	}
	if stop != nil {
		stop()
	}
	return nil
}
