package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/internal/mooncake"
	"github.com/lmcache-go/lmcache/internal/workload"
)

// Run implements cli.Command: it runs the trace, prints the result, and lingers if
// it is asked to.
func (c *workloadCommand) Run(ctx context.Context, std *cli.IO) (err error) {
	log, level := c.Log.Logger(std)
	o := c.options(log)
	if o.Requests, err = c.load(std.Stdin, int(c.Limit)); err != nil {
		return err
	}
	if err := o.Validate(); err != nil {
		p := cli.NewProblems()
		p.Errors(err)
		return p
	}
	bar := c.Output.Progress(std, "Running", int64(len(o.Requests)))
	o.Progress = func(done int) { bar.Set(int64(done)) }

	if limit := flags.MemoryLimit(); limit > 0 { // else the device would take more than there is
		o.DeviceBytes = max(limit-o.L1Bytes(), 1<<20)
	}
	obs, err := openObservability(&c.Observability, log, level)
	if err != nil {
		return err
	}
	closing := context.WithoutCancel(ctx)
	defer func() { err = errors.Join(err, obs.close(closing)) }()
	obs.abandoned = true // until it runs
	if err := obs.open(&c.Observability, std.Stdout); err != nil {
		return err
	}
	log = obs.log
	o.Engine.Bus, o.Engine.Logger = obs.bus, log
	if err = c.tiers.open(ctx, log, &o.Engine); err != nil {
		return err
	}
	end := showMemory(&c.Output, std, &o.Engine.L1)
	d, err := workload.Open(ctx, o)
	end()
	if err != nil {
		err = errors.Join(startError(err), closeTiers(o.Engine.Tiers))
	}
	if signal, ok := errors.AsType[*cli.InterruptedError](err); ok { // while the memory was made ready
		return &cli.ExitError{Code: signal.ExitCode()}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close(closing)) }()
	recorded := o.Engine.L1
	recorded.Bytes = o.L1Bytes()
	if err := obs.record(&c.Trace, storageConfig(c.ChunkSize, recorded, o.Engine.Tiers), log); err != nil {
		return err
	}
	if obs.recorder != nil && c.TraceOutput == "" {
		log.Warn("trace: " + obs.recorder.Path())
	}
	if err := c.listen(ctx, obs, d.Engine(), log); err != nil {
		return err
	}
	obs.abandoned = false
	result, err := d.Run(ctx)
	bar.Close()
	if err != nil {
		return err
	}
	if err := c.Emit(std.Stdout, workloadReport(&result, len(c.Configs) > 0), &result); err != nil {
		return err
	}
	return c.verdict(ctx, &result)
}

// verdict says how the command ends, after lingering.
func (c *workloadCommand) verdict(ctx context.Context, r *workload.Result) error {
	if r.Interrupted {
		return interrupted(ctx)
	}
	if linger := c.Linger.Duration(); linger > 0 {
		wait(ctx, linger)
	}
	if r.OK() {
		return nil
	}
	if r.RequestedChunks == 0 {
		return errors.New("the trace asks for no full chunk: nothing was measured (check --chunk-size and --limit)")
	}
	return fmt.Errorf("%d chunks had wrong bytes and %d operations failed", r.VerifyFailures, r.Errors)
}

// load reads the trace.
func (c *workloadCommand) load(stdin io.Reader, limit int) ([]mooncake.Request, error) {
	switch c.Workload.File {
	case "":
		return workload.Load(mooncake.Builtin(), c.BlockTokens, limit)
	case "-":
		return workload.Load(stdin, c.BlockTokens, limit)
	}
	f, err := os.Open(c.Workload.File)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	list, err := workload.Load(f, c.BlockTokens, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Workload.File, err)
	}
	return list, nil
}

// name is what the result calls the trace.
func (c *workloadCommand) name() string {
	switch c.Workload.File {
	case "":
		return mooncake.BuiltinName
	case "-":
		return "stdin"
	}
	return filepath.Base(c.Workload.File)
}

// options are the run's, from the flags, without the requests.
func (c *workloadCommand) options(log *slog.Logger) workload.Options {
	l1 := l1Options(&c.L1)
	l1.Bytes = c.Workload.L1Bytes(&c.L1)
	o := workload.Options{
		Name: c.name(), BlockTokens: c.BlockTokens, BytesPerToken: c.BytesPerToken,
		CapacityChunks: c.CapacityChunks, Concurrency: c.Concurrency, Seed: c.Seed,
		NoVerify: !c.Verify, NoOptimal: c.NoOptimal,
		Engine: lmcache.Options{ChunkTokens: c.ChunkSize, HashAlgorithm: c.HashAlgorithm, L1: l1, Logger: log},
	}
	if c.Pace == "realtime" {
		o.Speed = c.Speed
	}
	return o
}

// listen serves metrics if an address was asked for; no port is opened otherwise.
func (c *workloadCommand) listen(ctx context.Context, obs *observability, eng *lmcache.Engine, log *slog.Logger) error {
	if obs.metrics == nil {
		return nil
	}
	if err := obs.watch(eng, c.options(log).Engine); err != nil {
		return err
	}
	if c.MetricsAddr == "" {
		return nil
	}
	host, port, err := flags.SplitAddr(c.MetricsAddr)
	if err != nil {
		return err
	}
	srv, err := obs.metrics.Listen(ctx, host, port)
	if err != nil {
		return listenProblem("metrics-addr", "metrics-addr", host, port, err)
	}
	log.Warn("metrics: " + srv.URL())
	return nil
}

// workloadReport is the result for people; tiers: with what outer tiers did.
func workloadReport(r *workload.Result, tiers bool) *cli.Report {
	t := cli.NewReport("Workload Result", 64)
	t.Section("workload", "Workload")
	t.Line("workload", "Workload", r.Workload)
	t.Line("requests", "Requests", r.Requests)
	t.Line("requested_tokens", "Requested tokens", r.RequestedTokens)
	t.Line("requested_chunks", "Requested chunks", r.RequestedChunks)
	t.Line("capacity_chunks", "Capacity (chunks)", r.CapacityChunks)
	t.Line("chunk_bytes", "Chunk size (bytes)", r.ChunkBytes)
	t.Line("policy", "Eviction policy", r.Policy)
	t.Line("concurrency", "Concurrency", r.Concurrency)
	t.Section("hits", "Hits")
	t.Line("hit_chunks", "Hit chunks", r.HitChunks)
	t.Line("l1_hit_chunks", "L1 hit chunks", r.L1HitChunks)
	if tiers {
		t.Line("l2_hit_chunks", "L2 hit chunks", r.L2HitChunks)
	}
	ratio := fmt.Sprintf("%.4f", r.HitRatio)
	if best := r.OptimalHitRatio; best != nil && *best > 0 {
		ratio += fmt.Sprintf(" (optimal %.4f, %.1f %%)", *best, 100*r.HitRatio / *best)
	}
	t.LineText("hit_ratio", "Hit ratio", ratio, cli.Fixed{Value: r.HitRatio, Decimals: 4})
	t.Section("traffic", "Traffic")
	t.Line("stored_chunks", "Stored chunks", r.StoredChunks)
	t.Line("evicted_chunks", "Evicted chunks", r.EvictedChunks)
	t.Line("dropped_chunks", "Dropped chunks (no memory)", r.DroppedChunks)
	t.Line("retrieved_bytes", "Retrieved (bytes)", r.RetrievedBytes)
	t.Line("stored_bytes", "Stored (bytes)", r.StoredBytes)
	if tiers {
		t.Line("l2_lost_chunks", "Evicted before L2 had them", r.L2LostChunks)
		t.Line("l2_read_bytes", "Read from L2 (bytes)", r.L2ReadBytes)
		t.Line("l2_written_bytes", "Written to L2 (bytes)", r.L2WrittenBytes)
	}
	t.Line("wall_seconds", "Wall time (s)", r.WallSeconds)
	t.Line("requests_per_second", "Requests per second", r.RequestsPerSecond)
	t.Section("latency", "Latency")
	for _, l := range []struct {
		key, label string
		v          workload.Latency
	}{{"lookup", "Lookup", r.LookupMS}, {"retrieve", "Retrieve", r.RetrieveMS}, {"store", "Store", r.StoreMS}} {
		for _, q := range []struct {
			name string
			v    float64
		}{{"p50", l.v.P50}, {"p99", l.v.P99}, {"max", l.v.Max}} {
			t.Line(l.key+"_"+q.name+"_ms", l.label+" "+q.name+" (ms)", cli.Fixed{Value: q.v, Decimals: 3})
		}
	}
	t.Section("checks", "Checks")
	t.Line("verify_failures", "Verify failures", r.VerifyFailures)
	t.Line("errors", "Errors", r.Errors)
	t.Line("events_dropped", "Events dropped", r.EventsDropped)
	t.Line("interrupted", "Interrupted", r.Interrupted)
	return t
}
