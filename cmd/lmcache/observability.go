package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/observe/export"
	"github.com/lmcache-go/lmcache/trace"
)

// How long the end of all exporters may take: of a run, and of one that failed to start
// and so has hardly anything to say.
const (
	exportLimit  = 5 * time.Second
	abandonLimit = time.Second
)

// observability is the bus of a run and what listens to it. Without metrics,
// metrics and observer are nil.
type observability struct {
	bus      *eventbus.Bus
	metrics  *export.Metrics
	observer *observe.Observer
	logs     logs
	spans    *export.Spans // nil: none
	log      *slog.Logger  // what the program logs through, to a collector too if the flags ask for it
	sessions *observe.SpanRegistry
	recorder *trace.Recorder // nil: none

	abandoned bool // the run has not begun, or never will

	spanSources []observe.SpanStatsSource
}

// openObservability makes the bus and subscribes what the flags ask for. It opens
// no port. Records below level (nil: INFO) go to no collector.
func openObservability(o *flags.Observability, log *slog.Logger, level slog.Leveler) (_ *observability, err error) {
	ob := &observability{log: log}
	if !o.Disable && (o.EnableTracing || o.SpanOutput != "") {
		ob.sessions = observe.NewSpanRegistry()
	}
	if err = ob.openCollectedLogs(o, level); err != nil {
		return nil, err
	}
	ob.bus = eventbus.New(eventbus.Options{Queue: o.QueueSize, Disabled: o.Disable, Logger: ob.log})
	if !o.Metrics() {
		return ob, nil
	}
	eo := export.Options{Process: true, Logger: ob.log, OTLPEndpoint: o.OTLPEndpoint, Exemplars: ob.sessions != nil, Compat: observe.Compat(o.Compat)}
	if id, ok := o.Instance(); ok {
		eo.InstanceID = &id
	}
	if ob.metrics, err = export.NewMetrics(eo); err != nil {
		return nil, errors.Join(err, ob.logs.collected.Shutdown(context.Background()))
	}
	ob.observer, err = observe.Start(ob.bus, ob.metrics.MeterProvider(), observe.Options{
		QueueSize: o.QueueSize, Buckets: observe.Buckets(o.Buckets), LabelLimit: o.LabelLimit, SampleRate: o.SampleRate, Exemplars: ob.sessions,
	})
	if err != nil {
		return nil, errors.Join(err, ob.metrics.Shutdown(context.Background()), ob.logs.collected.Shutdown(context.Background()))
	}
	return ob, nil
}

// watch shows the state of an engine that was opened with eo, of the bus and of what
// else keeps counts, as gauges.
func (o *observability) watch(eng *lmcache.Engine, eo lmcache.Options) error {
	if o.observer == nil {
		return nil
	}
	sources := observe.Sources{
		Engine: eng, Bus: o.bus, Spans: o.spanSources, RequestLog: o.logs.requests, Labels: o.observer.Labels(),
		Build: observe.Build{Version: readBuild().Version, ConfigDigest: trace.Digest(trace.Config(storageConfig(eo.ChunkTokens, eo.L1, eo.Tiers)))},
	}
	if o.recorder != nil {
		sources.Recorder = o.recorder
	}
	return o.observer.Watch(sources)
}

// loops are the goroutines of the bus.
func (o *observability) loops() []lmcache.LoopStats { return observe.BusLoops(o.bus.Stats()) }

// open opens what the flags ask for besides: where lines and spans go. It reports all
// that cannot be opened.
func (o *observability) open(f *flags.Observability, stdout io.Writer) error {
	return errors.Join(o.openLogs(f, stdout), o.openSpans(f, stdout))
}

// close delivers what is on the bus and then ends the exporters, all at a time and
// within five seconds: that of logs last, for what the others have to say. The engine
// must have been closed before.
func (o *observability) close(ctx context.Context) error {
	err := errors.Join(o.logs.close(o.bus.Close(ctx)), o.observer.Close())
	limit := exportLimit
	if o.abandoned {
		limit = abandonLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var wg sync.WaitGroup
	var spans error
	wg.Go(func() { spans = o.spans.Shutdown(ctx) })
	wg.Go(func() { _ = o.logs.collected.Flush(ctx) }) // what it cannot send, Shutdown counts
	err = errors.Join(err, o.metrics.Shutdown(ctx))
	wg.Wait()
	return errors.Join(err, spans, o.logs.collected.Shutdown(ctx))
}
