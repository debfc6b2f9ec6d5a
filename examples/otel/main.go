package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/observe"
)

func main() {
	level := slog.LevelInfo
	if len(os.Args) > 1 && os.Args[1] == "-v" {
		level = slog.LevelDebug // the steps of each request too
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	if err := run(context.Background(), os.Stdout, log); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves a few requests, then scrapes itself and shows what became of them.
func run(ctx context.Context, out io.Writer, log *slog.Logger) (err error) {
	// What the host has anyway.
	tel, err := openTelemetry(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tel.close(ctx)) }() // last: all below still measures
	requests, err := tel.meters.Meter("host").Int64Counter("host.requests", metric.WithDescription("Requests that the host has served."))
	if err != nil {
		return err
	}

	// The cache, on a bus that the host's providers and logger listen to.
	bus := eventbus.New(eventbus.Options{Logger: log})
	defer func() { err = errors.Join(err, bus.Close(ctx)) }()
	watching, err := tel.watch(bus, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, watching.Close()) }()
	device := fake.New(fake.Options{})
	defer func() { err = errors.Join(err, device.Close()) }()
	paged, err := device.NewPaged(gpu.Shape{Layers: 1, Blocks: 8, BlockTokens: 16, Heads: 1, HeadSize: 8, DType: "float16"})
	if err != nil {
		return err
	}
	engine, err := lmcache.Open(ctx, lmcache.Options{ChunkTokens: 32, L1: l1.Options{Bytes: 1 << 20}, Bus: bus, Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close(ctx)) }()
	if err := watching.Watch(observe.Sources{Engine: engine, Bus: bus}); err != nil { // the gauges
		return err
	}
	worker, err := engine.Attach(lmcache.WorkerOptions{Model: "m", Backend: device, Cache: paged})
	if err != nil {
		return err
	}

	// Two turns of a conversation; the second finds the first.
	for turn := range 2 {
		if err := tel.serve(ctx, engine, worker, fmt.Sprintf("turn-%d", turn+1)); err != nil {
			return err
		}
		requests.Add(ctx, 1)
	}
	if err := bus.Flush(ctx); err != nil { // a real program is scraped when all has long been counted
		return err
	}
	return tel.show(ctx, out)
}

// serve runs one request inside a span of the host's. The cache gets the span as a W3C
// trace context, as it would from a header.
func (t *telemetry) serve(ctx context.Context, engine *lmcache.Engine, worker *lmcache.Worker, id string) (err error) {
	ctx, span := t.spans.Tracer("host").Start(ctx, "serve")
	defer span.End()
	prompt := make([]int32, 128)
	for i := range prompt {
		prompt[i] = int32(i)
	}
	table := [][]gpu.BlockID{{0, 1, 2, 3, 4, 5, 6, 7}}
	session := engine.Session(lmcache.Request{ID: id, Model: "m", Salt: "tenant-a", TraceParent: traceParent(ctx)})
	defer func() { err = errors.Join(err, session.Close()) }()
	in, err := worker.Retrieve(ctx, session.Lookup(ctx, prompt), table, nil)
	if err != nil {
		return err
	}
	stored, err := worker.Store(ctx, session, prompt, table, in)
	if err != nil {
		return err
	}
	return errors.Join(in.Wait(ctx), stored.Wait(ctx)) // then neither holds memory of the cache
}
