package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/internal/l2bench"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fs"
)

// benchL2Command is "lmcache bench l2".
type benchL2Command struct {
	flags.BenchL2
	flags.Log
	cli.Output

	configs []l2.Config
}

// Examples implements cli.Helper.
func (*benchL2Command) Examples() []string {
	return []string{
		`lmcache bench l2 --l2-adapter '{"type":"mem","max_size_gb":1}'`,
		`lmcache bench l2 --l2-adapter '{"type":"fs","base_path":"/tmp/kv","use_odirect":true}' --data-size-kb 2048 --rounds 5 --json`,
	}
}

// Check implements cli.Checker.
func (c *benchL2Command) Check(p *cli.Problems) {
	if !p.IsSet("log-level") {
		c.Log.Level = "WARNING"
	}
	c.BenchL2.Check(p)
	c.Output.Check(p)
	texts := c.L2Adapter
	if len(texts) == 0 {
		if text, ok := p.LookupEnv("L2_ADAPTER_JSON"); ok && text != "" {
			texts = []string{text}
		}
	}
	if len(texts) == 0 {
		p.Flag("l2-adapter", "is required")
		return
	}
	c.configs = l2Configs(p, texts)
	o := c.options(nil, l2.Settings{})
	flags.CheckMemory(p, "data-size-kb", o.Memory())
}

// options are those of the run of one adapter.
func (c *benchL2Command) options(a l2.Adapter, s l2.Settings) l2bench.Options {
	return l2bench.Options{
		Adapter: a, Settings: s, Keys: c.Keys, InFlight: c.InFlight, Bytes: int64(c.DataKB) << 10, Align: c.Align, HugePages: c.HugePages,
		Rounds: c.Rounds, Warmup: c.Warmup, MaxHitRate: c.MaxHitRate, SkipVerify: c.SkipVerify, Only: l2bench.Op(c.Only),
	}
}

// Run implements cli.Command.
func (c *benchL2Command) Run(ctx context.Context, std *cli.IO) error {
	log, _ := c.Log.Logger(std)
	report := cli.NewReport("L2 Adapter Benchmark Result", cli.WidthWide)
	lines := c.lines(std)
	var failed []string
	var opened []l2.Adapter
	defer func() {
		for _, a := range opened {
			_ = a.Close() // after an error; otherwise it is closed already
		}
	}()
	interrupted := false
	signal := (*cli.InterruptedError)(nil)
	for i := range c.configs {
		if interrupted {
			break
		}
		config := &c.configs[i]
		fmt.Fprintln(lines, "[Init] Creating adapter...")
		a, err := config.Open(ctx, log)
		if err != nil {
			return err
		}
		opened = append(opened, a)
		fmt.Fprintf(lines, "[Init] Adapter created successfully (%s).\n", config.Type)
		o := c.options(a, config.Settings)
		o.Progress = func(line string) { fmt.Fprintln(lines, line) }
		if s, ok := a.(*fs.Store); ok && !c.NoRaw {
			o.RawDir, _ = s.Describe()["base_path"].(string)
		}
		o.RawClient = !c.NoRaw
		results, err := l2bench.Run(ctx, o)
		signal, interrupted = errors.AsType[*cli.InterruptedError](context.Cause(ctx))
		if err != nil && !interrupted {
			return err
		}
		c.section(report, i, config, &o, interrupted)
		for n := range results {
			section(report, i, n, &results[n])
			failed = append(failed, results[n].Failed()...)
		}
	}
	if err := c.Emit(std.Stdout, report, nil); err != nil {
		return err
	}
	fmt.Fprintln(lines, "[Cleanup] Closing adapter...")
	for _, a := range opened {
		if err := a.Close(); err != nil {
			return err
		}
	}
	fmt.Fprintln(lines, "[Cleanup] Done.")
	if interrupted {
		return &cli.ExitError{Code: signal.ExitCode()}
	}
	if len(failed) > 0 {
		return errors.New(strings.Join(failed, "; "))
	}
	return nil
}

// lines is where the lines of progress go: with the report for people, else beside it.
func (c *benchL2Command) lines(std *cli.IO) io.Writer {
	switch {
	case c.Quiet:
		return io.Discard
	case c.JSON || c.Output.Format == "json":
		return std.Stderr
	}
	return std.Stdout
}

// name is the key of a section: as it is for the first adapter, with its number for
// the others.
func name(key string, adapter int) string {
	if adapter == 0 {
		return key
	}
	return fmt.Sprintf("%s_%d", key, adapter+1)
}

// section reports the configuration of one adapter.
func (c *benchL2Command) section(r *cli.Report, i int, config *l2.Config, o *l2bench.Options, interrupted bool) {
	title := "Configuration"
	if len(c.configs) > 1 {
		title = fmt.Sprintf("Adapter %d: Configuration", i+1)
	}
	r.Section(name("config", i), title)
	shown, err := json.Marshal(config.Shown)
	if err != nil {
		shown = []byte("N/A") // what a configuration was read from can be written
	}
	r.Line("l2_adapter_json", "L2 adapter JSON", string(shown))
	r.Line("num_keys", "Keys / submit", o.Keys)
	r.Line("in_flight", "In-flight / round", o.InFlight)
	r.Line("keys_per_round", "Keys / round", o.Keys*o.InFlight)
	r.Line("data_size_kb", "Data size / key (KB)", c.DataKB)
	r.Line("data_per_round_mb", "Data / round (MB)", float64(o.Keys*o.InFlight)*float64(c.DataKB)/1024)
	r.Line("measurement_rounds", "Measurement rounds", o.Rounds)
	r.Line("warmup_rounds", "Warmup rounds", o.Warmup)
	r.Line("lookup_max_hit_rate", "Lookup max hit rate", o.MaxHitRate)
	if interrupted {
		r.Line("interrupted", "Interrupted", true)
	}
}

// section reports one operation.
func section(r *cli.Report, adapter, n int, res *l2bench.Result) {
	op := map[l2bench.Op]string{l2bench.Store: "Store", l2bench.Lookup: "Lookup", l2bench.Load: "Load"}[res.Operation]
	r.Section(name(fmt.Sprintf("op_%d", n), adapter), op)
	r.Line("operation", "Operation", op)
	r.Line("rounds", "Rounds", len(res.Durations))
	r.Line("rounds_timed_out", "Rounds timed out", res.TimedOut)
	r.Line("keys_per_round", "Keys / round", res.KeysPerRound)
	r.Line("total_keys", "Total keys", res.TotalKeys())
	r.Line("total_success", "Total success", res.Success)
	s := res.Summary()
	for _, d := range []struct {
		name string
		d    time.Duration
	}{{"avg", s.Avg}, {"min", s.Min}, {"max", s.Max}, {"p50", s.P50}, {"p99", s.P99}, {"std", s.Std}} {
		r.Line("duration_"+d.name+"_ms", "Duration "+d.name+" (ms)", milliseconds(d.d))
	}
	rate := func(key, label string, d time.Duration) {
		var v any // lookups move no data
		if res.RoundBytes > 0 {
			v = mib(res.Rate(d))
		}
		r.Line("throughput_"+key+"_mbps", "Throughput "+label+" (MB/s)", v)
	}
	rate("avg", "avg", s.Avg)
	rate("min", "min", s.Max)
	rate("max", "max", s.Min)
	var ops any
	if s.Avg > 0 {
		ops = float64(res.KeysPerRound) / s.Avg.Seconds()
	}
	r.Line("ops_per_sec_avg", "Avg ops/s", ops)
	r.Line("latency_per_key_ms", "Avg latency / key (ms)", cli.Fixed{Value: milliseconds(s.Avg) / float64(max(res.KeysPerRound, 1)), Decimals: 3})
	if v, ratio, ok := res.RawRate(); ok {
		way := "page cache"
		if res.RawDirect {
			way = "direct I/O"
		}
		what, label := "Plain file", "Plain file moved by"
		if res.RawClient {
			what, label, way = "Plain client", "Compared with", "client of the store"
		}
		r.Line("raw_io", label, way)
		r.Line("raw_throughput_avg_mbps", what+" avg (MB/s)", mib(v))
		r.Line("raw_ratio", "Ratio to the "+strings.ToLower(what), ratio)
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// mib is bytes in MB as LMCache counts them, 2^20 bytes.
func mib(v float64) float64 { return v / (1 << 20) }
