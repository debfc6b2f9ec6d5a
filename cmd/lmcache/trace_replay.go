package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/replay"
)

// traceReplayCommand is "lmcache trace replay".
type traceReplayCommand struct {
	flags.Replay
	flags.L1 `kong:"embed,set='l1_size_note=(required)',set='policy_note=(required)'"`
	tiers
	flags.Observability
	flags.Log
	flags.UpstreamShared

	MetricsPort bool            `kong:"-"` // was asked for
	models      []storage.Model // of the tiers, in virtual time
	probed      []bool          // those that are measured first
	axes        []axis          // of --sweep
	points      []point
	curve       bool // --mrc
}

// Examples implements cli.Helper.
func (*traceReplayCommand) Examples() []string {
	return []string{
		"lmcache trace replay run.lct --l1-size-gb 1 --eviction-policy LRU",
		"lmcache trace replay run.lct --l1-size-gb 512MiB --eviction-policy LRU --pacing fast --verify --no-csv",
		"lmcache trace replay run.lct --l1-size-gb 200 --eviction-policy RecencyFrequency --pacing virtual --no-csv",
		"lmcache trace replay run.lct --l1-size-gb 10 --eviction-policy LRU --sweep l1-size-gb=10,20,40 --sweep eviction-policy=LRU,RecencyFrequency --html sweep.html",
	}
}

// Check implements cli.Checker.
func (c *traceReplayCommand) Check(p *cli.Problems) {
	if !p.IsSet("log-level") {
		c.Log.Level = "WARNING" // a line per record would bury the result
	}
	c.curve = c.Replay.Curve(p)
	if (len(c.Sweep) > 0 || c.curve) && !p.IsSet("pacing") {
		c.Pacing = "virtual" // always
	}
	c.Replay.Check(p)
	c.L1.Require(p)
	if c.Pacing == "virtual" {
		c.L1.CheckVirtual(p)
	} else {
		c.L1.Check(p)
	}
	c.tiers.check(p, &c.L1)
	c.checkFiles(p)
	if c.Pacing == "virtual" {
		c.models, c.probed = tierModels(p, c.Configs, c.L2Models)
		for _, name := range []string{"prometheus-port", "prometheus-host", "otlp-endpoint", "request-log", "span-output"} {
			if p.IsArgument(name) {
				p.Flag(name, "has no effect with --pacing virtual, whose time is not that of the world")
			}
		}
		c.Observability.Disable = true
		if len(c.Sweep) > 0 {
			c.checkSweep(p)
		}
		return
	}
	c.Observability.Check(p)
	if c.RequestLog == "-" {
		p.Flag("request-log", "must be a file: stdout holds the result")
	}
	checkEndpoint(p, &c.Observability.Spans)
	if c.MetricsPort = p.IsSet("prometheus-port") || p.IsSet("prometheus-host"); !c.MetricsPort && c.OTLPEndpoint == "" {
		c.DisableMetrics = true // nobody would read them
	}
}

// banner says what a replay on another machine cannot promise.
const banner = `==============================================================================
  !! REPLAY ENVIRONMENT MISMATCH MAY CAUSE RETRIEVE MISSES !!
==============================================================================
  * The configuration under test may differ from the recorded one.
  * This machine may be faster or slower than the one that recorded.
  * Loads from outer tiers are asynchronous: one that was done when the
    recording was made may not be done yet when its result is read here.

  Misses then say something about the environment of the replay, not about
  the recording.
==============================================================================
`

// Run implements cli.Command.
func (c *traceReplayCommand) Run(ctx context.Context, std *cli.IO) (err error) {
	log, level := c.Log.Logger(std)
	so := storage.Options{L1: l1Options(&c.L1), Logger: log}
	if err := so.Validate(); err != nil {
		p := cli.NewProblems()
		p.Errors(err)
		return p
	}
	if err := c.tiers.modelled(&so); err != nil { // in the other pacings they get adapters later
		return err
	}
	if c.curve {
		return c.curves().Run(ctx, std)
	}
	f, err := trace.OpenFile(c.Files...)
	if err != nil {
		return fileError(err)
	}
	h := f.Header()
	if err := replay.CheckHeader(&h, f.Paths[0]); err != nil {
		return err
	}
	digest := replayDigest(&h, so)
	if c.SameConfig && digest.mismatch() {
		return fmt.Errorf("--require-digest: the recording was made under another configuration (recorded %s, here %s)", h.Digest, digest.here)
	}
	out, err := openReplayFiles(&c.Replay)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.close()) }()
	out.chunk = digest.chunkTokens
	calls, err := countCalls(f)
	if err != nil {
		return err
	}
	if !c.Quiet && c.Pacing != "virtual" {
		c.banner(std)
	}
	log.Info(fmt.Sprintf("trace replay: file=%s records=%d", traceName(f.Paths), calls))
	if c.Pacing == "virtual" {
		if err := c.probe(ctx, std, log); err != nil {
			return err
		}
	}
	var r *replay.Result
	if len(c.Sweep) > 0 {
		return c.sweep(ctx, std, log, f, calls, out)
	}
	if c.Pacing == "virtual" {
		r, err = c.virtual(ctx, std, log, so, f, calls, out)
	} else {
		r, err = c.replay(ctx, std, log, level, so, f, calls, out)
	}
	if err != nil {
		return err
	}
	if err := c.results(std, log, out, r, digest); err != nil {
		return err
	}
	if err := replayVerdict(ctx, r); err != nil {
		return err
	}
	if c.FailOnDivergence && r.Diverged > 0 {
		return fmt.Errorf("--fail-on-divergence: %d of %d recorded outcomes are not the replayed ones", r.Diverged, r.Compared)
	}
	return nil
}

func (*traceReplayCommand) banner(std *cli.IO) {
	text := banner
	if std.Colors(std.Stderr) {
		text = "\x1b[1;33m" + banner[:len(banner)-1] + "\x1b[0m\n"
	}
	_, _ = io.WriteString(std.Stderr, text)
}

// curves is the command that computes curves for the configuration under test.
func (c *traceReplayCommand) curves() *traceMRCCommand {
	return &traceMRCCommand{flags.Curve{
		Files: c.Files, Bytes: c.Sizes, Base: cli.Bytes(c.L1.Bytes()), Names: []string{c.Policy}, Mode: c.Mode, Watermark: c.Watermark, Ratio: c.Ratio,
		Sample: 1, Parallel: c.Parallel, Dir: c.Dir, NoCSV: c.NoCSV, HTML: c.HTML, Quiet: c.Replay.Quiet, NoProgress: c.NoProgress,
	}}
}

// countCalls is the first pass over a recording: how many records are calls.
func countCalls(f *trace.File) (n int64, err error) {
	for r, err := range f.Records() {
		if _, damaged := errors.AsType[*trace.DamageError](err); err != nil && !damaged {
			return 0, err
		}
		if err == nil && !r.Own() {
			n++
		}
	}
	return n, nil
}

// replay runs the recording against a storage manager of its own.
func (c *traceReplayCommand) replay(
	ctx context.Context, std *cli.IO, log *slog.Logger, level slog.Leveler, so storage.Options, f *trace.File, calls int64, out *replayFiles,
) (_ *replay.Result, err error) {
	obs, err := openObservability(&c.Observability, log, level)
	if err != nil {
		return nil, err
	}
	closing := context.WithoutCancel(ctx)
	defer func() { err = errors.Join(err, obs.close(closing)) }()
	if err := obs.openLogs(&c.Observability, std.Stdout); err != nil {
		return nil, err
	}
	if c.Observability.Disable { // nobody else listens; the comparison does
		obs.bus = eventbus.New(eventbus.Options{Logger: obs.log})
	}
	so.Bus, so.Logger = obs.bus, obs.log
	display := &cli.Output{Quiet: c.Replay.Quiet, NoProgress: c.NoProgress}
	end := showMemory(display, std, &so.L1)
	if err := c.openTiers(ctx, obs.log, &so); err != nil {
		end()
		return nil, err
	}
	m, err := storage.Open(ctx, so)
	end()
	if err != nil {
		return nil, errors.Join(err, closeTiers(so.Tiers))
	}
	defer func() { err = errors.Join(err, m.Close(closing)) }()
	if err := c.watch(ctx, obs, m); err != nil {
		return nil, err
	}
	bar := display.Progress(std, "Replaying", calls)
	defer bar.Close()
	done := int64(0)
	o := replay.Options{
		Manager: m, Speed: c.Speed, Verify: c.Verify, Seed: c.Seed, From: c.From, To: c.To, Total: calls, Strict: c.Strict, Logger: obs.log,
		Line: func(l replay.Line) {
			if c.Verbose && !c.Replay.Quiet {
				c.line(std.Stdout, &l, calls)
			}
			done++
			bar.Set(done)
		},
		Bus: obs.bus, Diverged: out.diverged.one, Complete: out.told(), Workers: c.Workers,
	}
	if c.Pacing == "fast" {
		o.Pacing = replay.Fast
	}
	if c.Fill == "key" {
		o.Fill = replay.FillKey
	}
	r, err := replay.Run(ctx, f.Records(), o)
	if err != nil {
		return nil, err
	}
	if n := m.Stats().Prefetches; n > 0 {
		return nil, fmt.Errorf("internal error: %d leases are left after the replay", n)
	}
	return r, out.jsonl.err
}

// openTiers opens the adapters of the flags, which the manager closes.
func (c *traceReplayCommand) openTiers(ctx context.Context, log *slog.Logger, so *storage.Options) error {
	var o lmcache.Options
	if err := c.tiers.open(ctx, log, &o); err != nil {
		return err
	}
	so.Tiers, so.Store, so.Prefetch = o.Tiers, o.Store, o.Prefetch
	return nil
}

// line prints what became of one record.
func (*traceReplayCommand) line(w io.Writer, l *replay.Line, calls int64) {
	verdict := "OK"
	if l.Failed {
		verdict = "FAIL"
	}
	_, _ = fmt.Fprintf(w, "  [%d/%d]  %-4s  %8.3fms  %s\n", l.Index, calls, verdict, float64(l.Latency.Nanoseconds())/1e6, l.Name)
}

// watch shows the state of the manager as gauges, and serves the metrics if a port
// was asked for.
func (c *traceReplayCommand) watch(ctx context.Context, obs *observability, m *storage.Manager) error {
	if obs.observer == nil {
		return nil
	}
	err := obs.observer.Watch(observe.Sources{
		Storage: m, Bus: obs.bus, Labels: obs.observer.Labels(), Build: observe.Build{Version: readBuild().Version},
	})
	if err != nil || !c.MetricsPort {
		return err
	}
	srv, err := obs.metrics.Listen(ctx, c.PrometheusHost, c.PrometheusPort)
	if err != nil {
		return err
	}
	obs.log.Warn("metrics: " + srv.URL())
	return nil
}

// configDigest compares the configuration of a recording with the one here.
type configDigest struct {
	recorded, here string
	chunkTokens    int64 // of the recording; 0: it does not say
}

func (d configDigest) mismatch() bool { return d.recorded != "" && d.recorded != d.here }

// text is the comparison for people; empty if there is nothing to compare.
func (d configDigest) text() string {
	switch {
	case d.recorded == "":
		return ""
	case d.mismatch():
		return fmt.Sprintf("MISMATCH (rec=%.8s, run=%.8s)", d.recorded, d.here)
	}
	return fmt.Sprintf("match (%.8s)", d.here)
}

// replayDigest compares the configurations. The chunk size has no influence on a
// replay, and is taken to be the recorded one.
func replayDigest(h *trace.Header, so storage.Options) configDigest {
	var recorded struct {
		ChunkSize int `json:"chunk_size"`
	}
	_ = json.Unmarshal([]byte(h.Config), &recorded) // what is not there is the default
	here := trace.Digest(trace.Config(storageConfig(recorded.ChunkSize, so.L1, so.Tiers)))
	return configDigest{h.Digest, here, int64(max(recorded.ChunkSize, 0))}
}

// replayVerdict says how the command ends.
func replayVerdict(ctx context.Context, r *replay.Result) error {
	switch {
	case r.Interrupted:
		return interrupted(ctx)
	case r.VerifyFailures > 0:
		return fmt.Errorf("%d objects had wrong bytes, and %d calls failed", r.VerifyFailures, r.Failed)
	case r.Failed > 0:
		return fmt.Errorf("%d calls failed", r.Failed)
	case r.Strict != "":
		return fmt.Errorf("--strict: %s", r.Strict)
	}
	return nil
}
