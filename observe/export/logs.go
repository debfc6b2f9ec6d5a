package export

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/log/noop"
	sdklog "go.opentelemetry.io/otel/sdk/log"

	"github.com/lmcache-go/lmcache/observe"
)

// Sizes and times of the batches of log records.
const (
	logQueue     = 2048
	logBatch     = 512
	logBatchTime = time.Second
	spanDelay    = time.Second // that a record waits for the spans of its session, at most
)

// Logs is a logger provider whose records go to an OTLP collector. All methods are safe
// for concurrent use; a nil Logs is one that is switched off. Shutdown it last, so that
// what the others have to say arrives.
type Logs struct {
	provider *sdklog.LoggerProvider
	emitted  *atomic.Uint64
	sink     *logDelivery
}

// OpenLogs assembles the logger provider that o asks for, whose records are pushed to
// o.OTLPEndpoint. No collector need be there. If o does not ask for one (OTLPLogs) it
// returns nil, which is a Logs that keeps nothing.
func OpenLogs(o observe.Options, eo Options) (*Logs, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Disable || !o.OTLPLogs {
		return nil, nil //nolint:nilnil // documented: nil is the Logs that is off
	}
	eo.InstanceID, eo.OTLPEndpoint = o.InstanceID, o.OTLPEndpoint
	return NewLogs(eo)
}

// NewLogs assembles the provider from OTLPEndpoint and Sessions of o. What it has to say
// itself goes to Logger, which must not end here.
func NewLogs(o Options) (*Logs, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	res, err := newResource(o.InstanceID)
	if err != nil {
		return nil, err
	}
	e, err := observe.ParseEndpoint(o.OTLPEndpoint)
	if err != nil {
		return nil, fmt.Errorf("export: OTLP endpoint %q: %w", o.OTLPEndpoint, err)
	}
	exp, err := otlploggrpc.New(context.Background(), //nolint:forbidigo // it is for nothing: no connection is made here
		otlploggrpc.WithEndpointURL(e.URL()), otlploggrpc.WithTimeout(exportTimeout), otlploggrpc.WithDialOption(reconnect()),
		otlploggrpc.WithRetry(otlploggrpc.RetryConfig{Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMax, MaxElapsedTime: exportTimeout}))
	if err != nil {
		return nil, fmt.Errorf("export: OTLP endpoint %q: %w", o.OTLPEndpoint, err)
	}
	l := &Logs{emitted: new(atomic.Uint64), sink: &logDelivery{exp, newDelivery("log records", e.URL(), o.Logger), o.Sessions}}
	l.provider = sdklog.NewLoggerProvider(sdklog.WithResource(res),
		sdklog.WithProcessor(emitCounter{l.emitted}),
		sdklog.WithProcessor(sdklog.NewBatchProcessor(l.sink, sdklog.WithMaxQueueSize(logQueue), sdklog.WithExportMaxBatchSize(logBatch),
			sdklog.WithExportInterval(logBatchTime), sdklog.WithExportTimeout(exportTimeout))))
	o.Logger.Info(fmt.Sprintf("OTel LoggerProvider initialised with OTLP exporter (%s), resource=%s", e.URL(), res.String()),
		slog.String("to", e.URL()), slog.String("resource", res.String()))
	return l, nil
}

// LoggerProvider is what observe.NewLogBridge takes.
func (l *Logs) LoggerProvider() log.LoggerProvider {
	if l == nil {
		return noop.NewLoggerProvider()
	}
	return l.provider
}

// LogCounts are what has become of log records.
type LogCounts struct {
	Emitted uint64
	SinkCounts
}

// Stats returns the counts. After Shutdown, Left is exactly what the queue lost.
func (l *Logs) Stats() LogCounts {
	if l == nil {
		return LogCounts{}
	}
	c := LogCounts{SinkCounts: SinkCounts{Delivery: l.sink.stats()}}
	c.Emitted = l.emitted.Load()
	c.Left = c.Emitted - min(c.Emitted, l.sink.items.Load()) // read before Emitted, a record would be missing
	return c
}

// Flush sends all records so far, until ctx ends. What the collector does not take is
// counted, and no error.
func (l *Logs) Flush(ctx context.Context) error {
	if l == nil {
		return nil
	}
	if err := l.provider.ForceFlush(ctx); err != nil {
		return fmt.Errorf("export: flush logs: %w", err)
	}
	return nil
}

// Shutdown sends what is left, for 5 seconds at most and not longer than ctx. What
// cannot be sent is counted and logged; that a collector is not there is no error. It is
// idempotent.
func (l *Logs) Shutdown(ctx context.Context) error {
	if l == nil {
		return nil
	}
	return shutdown(ctx, l.provider.Shutdown, []*delivery{l.sink.delivery})
}

// logDelivery is an exporter of log records that never fails.
type logDelivery struct {
	sdklog.Exporter
	*delivery

	registry *observe.SpanRegistry
}

// Export exports one batch. A record of a session that was written before its spans
// were made, a moment ago, gets its trace now.
func (l *logDelivery) Export(ctx context.Context, records []sdklog.Record) error {
	for time.Since(l.trace(records)) < spanDelay {
		select {
		case <-time.After(spanDelay / 200):
			continue
		case <-ctx.Done():
		}
		break
	}
	l.do(ctx, len(records), func(ctx context.Context) error { return l.Exporter.Export(ctx, records) })
	return nil
}

// trace gives records of sessions the trace of the session's root. It returns the time
// of the newest one whose session has none; zero if there is none.
func (l *logDelivery) trace(records []sdklog.Record) (newest time.Time) {
	if l.registry == nil {
		return newest
	}
	for i := range records {
		session := untraced(&records[i])
		if session == "" {
			continue
		}
		root := l.registry.Root(session)
		if !root.IsValid() {
			if at := records[i].ObservedTimestamp(); at.After(newest) {
				newest = at
			}
			continue
		}
		r := records[i].Clone()
		r.SetTraceID(root.TraceID())
		r.SetSpanID(root.SpanID())
		r.SetTraceFlags(root.TraceFlags())
		records[i] = r
	}
	return newest
}

// untraced is the session of a record without a trace; empty if it has one, or no session.
func untraced(r *sdklog.Record) (session string) {
	if r.TraceID().IsValid() {
		return ""
	}
	r.WalkAttributes(func(kv attribute.KeyValue) bool {
		if kv.Key == observe.LogSession {
			session = kv.Value.AsString()
		}
		return session == ""
	})
	return session
}

// emitCounter counts the records that the exporter should get.
type emitCounter struct{ n *atomic.Uint64 }

func (emitCounter) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }

func (c emitCounter) OnEmit(context.Context, *sdklog.Record) error {
	c.n.Add(1)
	return nil
}

func (emitCounter) Shutdown(context.Context) error   { return nil }
func (emitCounter) ForceFlush(context.Context) error { return nil }
