package main

import (
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/internal/mooncake"
	"github.com/lmcache-go/lmcache/internal/workload"
)

// BenchmarkWorkloadCost is what observing costs the throughput of "bench workload": the
// built-in trace with the flags of each case, and with --disable-observability, in turns;
// and what recording costs beside metrics and logging (REQ-T11). It prints the median over
// all pairs of runs that follow each other, in percent, and the bar. At least ten pairs
// make a figure: make cost.
func BenchmarkWorkloadCost(b *testing.B) {
	for _, c := range []struct {
		name string
		bar  float64 // percent
		set  func(without, with *observed)
	}{
		{"metrics and logging", 3, func(_, _ *observed) {}},
		{"all in the sample", 10, func(_, with *observed) { with.SampleRate = 1 }},
		{"spans", 5, func(_, with *observed) { with.SpanOutput = filepath.Join(b.TempDir(), "spans.jsonl") }},
		{"recording", 5, func(without, with *observed) {
			*without = *with
			with.Trace = flags.Trace{TraceLevel: "storage", TraceOutput: filepath.Join(b.TempDir(), "run.lct"), TraceQueue: 1 << 16}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			with := observed{Observability: flags.Observability{QueueSize: 10_000, SampleRate: 0.01, LabelLimit: 200, Buckets: "tuned", Compat: "none"}}
			without := observed{Observability: flags.Observability{Disable: true}}
			c.set(&without, &with)
			requests, err := workload.Load(mooncake.Builtin(), workload.DefaultBlockTokens, 0)
			if err != nil {
				b.Fatal(err)
			}
			var ratios []float64
			for i := 0; b.Loop(); i++ {
				var seconds [2]float64
				for _, side := range [2][2]int{{0, 1}, {1, 0}}[i%2] {
					seconds[side] = []*observed{&without, &with}[side].run(b, requests)
				}
				ratios = append(ratios, seconds[0]/seconds[1]) // of the throughput
			}
			slices.Sort(ratios)
			b.ReportMetric(100*(1-ratios[len(ratios)/2]), "%-lost")
			b.ReportMetric(c.bar, "%-bar")
			b.ReportMetric(float64(len(ratios)), "pairs")
		})
	}
}

// observed are the flags of a run.
type observed struct {
	flags.Observability
	flags.Trace
}

// run runs the workload once and returns the seconds it took.
func (f *observed) run(b *testing.B, requests []mooncake.Request) float64 {
	b.Helper()
	log := slog.New(slog.DiscardHandler)
	obs, err := openObservability(&f.Observability, log, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := obs.open(&f.Observability, io.Discard); err != nil {
		b.Fatal(err)
	}
	if err := obs.record(&f.Trace, nil, log); err != nil {
		b.Fatal(err)
	}
	o := workload.Options{Requests: requests, CapacityChunks: 2000, Concurrency: 4, NoOptimal: true, NoVerify: true}
	o.Engine.Bus = obs.bus
	d, err := workload.Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	r, err := d.Run(b.Context())
	if err != nil || !r.OK() {
		b.Fatalf("%+v, %v", r, err)
	}
	if err := d.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := obs.close(b.Context()); err != nil {
		b.Fatal(err)
	}
	if n := obs.bus.Stats().Dropped; n > 0 {
		b.Errorf("%d events were dropped at the default queue", n)
	}
	if f.Records() {
		if s := obs.recorder.Stats(); s.Lost.Sum() > 0 || s.Written == 0 {
			b.Errorf("the recording: %+v", s)
		}
	}
	return r.WallSeconds
}
