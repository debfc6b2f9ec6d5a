package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/internal/l1bench"
	"github.com/lmcache-go/lmcache/observe"
)

// benchL1Command is "lmcache bench l1".
type benchL1Command struct {
	flags.BenchL1
	flags.L1 `kong:"embed,set='l1_size_note=(1 GiB by default)',set='policy_note=(LRU by default)'"`
	flags.Log
	cli.Output
}

// Examples implements cli.Helper.
func (*benchL1Command) Examples() []string {
	return []string{
		"lmcache bench l1 --duration 1s",
		"lmcache bench l1 --object-size-kb 64 --mix store --with-events --duration 1s --json",
	}
}

// Check implements cli.Checker.
func (c *benchL1Command) Check(p *cli.Problems) {
	if c.L1.Policy == "" && !p.IsBad("eviction-policy") {
		c.L1.Policy = "LRU"
	}
	if !p.IsSet("log-level") {
		c.Log.Level = "WARNING"
	}
	c.L1.Check(p)
	flags.CheckMemory(p, "l1-size-gb", c.memory())
	c.Output.Check(p)
}

// memory is what the run takes: L1, the memory for plain copies, and, with events,
// a second L1.
func (c *benchL1Command) memory() int64 {
	n := c.BenchL1.L1Bytes(&c.L1)
	if c.Events {
		return 3 * n
	}
	return 2 * n
}

// Run implements cli.Command.
func (c *benchL1Command) Run(ctx context.Context, std *cli.IO) error {
	log, _ := c.Log.Logger(std)
	lo := l1Options(&c.L1)
	lo.Bytes, lo.Logger = c.BenchL1.L1Bytes(&c.L1), log
	o := l1bench.Options{
		ObjectBytes: c.ObjectBytes(), Keys: c.Keys, Batch: c.Batch, Threads: c.Threads,
		Duration: c.Duration.Duration(), Mix: l1bench.Mix(c.Mix), L1: lo,
	}
	if err := o.Validate(); err != nil {
		p := cli.NewProblems()
		p.Errors(err)
		return p
	}
	if c.Events {
		o.Events = func() (*eventbus.Bus, func() error, error) {
			obs, err := openObservability(&flags.Observability{QueueSize: 10000, Buckets: "tuned", LabelLimit: 200, SampleRate: observe.DefaultSampleRate}, log, nil)
			if err != nil {
				return nil, nil, err
			}
			return obs.bus, func() error { return obs.close(context.WithoutCancel(ctx)) }, nil
		}
	}
	bar := c.Output.Progress(std, "Measuring (ms)", o.Total().Milliseconds())
	o.Progress = func(done time.Duration) { bar.Set(done.Milliseconds()) }
	results, err := l1bench.Run(ctx, o)
	bar.Close()
	signal, interrupted := errors.AsType[*cli.InterruptedError](context.Cause(ctx))
	if err != nil && !interrupted {
		return err
	}
	if results == nil {
		results = []l1bench.Result{}
	}
	if err := c.Emit(std.Stdout, c.report(results, interrupted), results); err != nil {
		return err
	}
	if interrupted {
		return &cli.ExitError{Code: signal.ExitCode()}
	}
	return nil
}

// report is the result for people: each figure beside its baseline.
func (c *benchL1Command) report(results []l1bench.Result, interrupted bool) *cli.Report {
	t := cli.NewReport("L1 Benchmark Result", cli.WidthWide)
	t.Section("configuration", "Configuration")
	t.Line("object_size_kb", "Object size (KB)", c.ObjectKB)
	t.Line("l1_bytes", "L1 (bytes)", c.BenchL1.L1Bytes(&c.L1))
	t.Line("keys", "Keys", c.Keys)
	t.Line("batch", "Keys / call", c.Batch)
	t.Line("threads", "Threads", c.Threads)
	t.Line("eviction_policy", "Eviction policy", c.L1.Policy)
	t.Line("interrupted", "Interrupted", interrupted)
	for i := range results {
		r := &results[i]
		t.Section(r.Name, titles[strings.TrimSuffix(r.Name, "_events")]+eventsNote(r.Name))
		unit := map[string]string{"us": "us/call, p50", "ns": "ns/event, p50"}[r.Unit]
		if unit == "" {
			unit = r.Unit
		}
		three := func(v float64) cli.Fixed { return cli.Fixed{Value: v, Decimals: 3} }
		t.Line("value", fmt.Sprintf("Value (%s)", unit), three(r.Value))
		t.Line("baseline", fmt.Sprintf("%s (%s)", baselines[strings.TrimSuffix(r.Name, "_events")], unit), three(r.Baseline))
		t.Line("ratio", "Ratio", three(r.Ratio))
		t.Line("p99_us", "Call p99 (us)", three(r.P99))
		t.Line("max_us", "Call max (us)", three(r.Max))
		t.Line("calls", "Calls", r.Calls)
		if !strings.HasSuffix(r.Name, "_events") {
			t.Line("allocs", "Allocations / call", r.Allocs)
		}
	}
	return t
}

// titles are the parts for people; baselines what they are compared with. A part
// with events is compared with itself.
var (
	titles = map[string]string{
		"publish": "Publish", "reserve_finish": "Reserve + finish", "lookup": "Lookup + release", "store": "Store", "retrieve": "Retrieve",
	}
	baselines = map[string]string{
		"publish": "Locked queue", "reserve_finish": "Locked map", "lookup": "Locked map", "store": "Plain copy", "retrieve": "Plain copy",
	}
)

func eventsNote(name string) string {
	if strings.HasSuffix(name, "_events") {
		return ", with subscribers (baseline: without)"
	}
	return ""
}
