package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/l2bench"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
)

// probeModel as the constants of --l2-model has them measured.
const probeModel = "probe"

// Sizes of a probe: calls of one small object tell the latency, calls of large ones the
// bandwidth, as many at a time as the tier has slots.
const (
	probeSmall  = 4 << 10
	probeLarge  = 1 << 20
	probeKeys   = 16
	probeRounds = 9
)

// probe measures the adapters whose models are not given, and says what it has found.
func (c *traceReplayCommand) probe(ctx context.Context, std *cli.IO, log *slog.Logger) error {
	for i := range c.Configs {
		config := &c.Configs[i]
		if !c.probed[i] {
			continue
		}
		m, err := measure(ctx, log, config)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("--l2-model %s=%s: %w", config.Type, probeModel, err)
		}
		c.models[i] = m
		if !c.Replay.Quiet {
			_, _ = fmt.Fprintf(std.Stderr, "lmcache: --l2-adapter %d was measured: --l2-model %s=%s\n", i+1, config.Type, modelText(m))
		}
	}
	return nil
}

// measure opens an adapter and measures it with objects of its own, which it removes.
func measure(ctx context.Context, log *slog.Logger, config *l2.Config) (m storage.Model, err error) {
	a, err := config.Open(ctx, log)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	round := func(keys int, bytes int64) (times [2]time.Duration, err error) {
		results, err := l2bench.Run(ctx, l2bench.Options{
			Adapter: a, Settings: config.Settings, Keys: keys, InFlight: 1, Bytes: bytes, Align: 4096, Rounds: probeRounds, Warmup: 2,
		})
		if err != nil {
			return times, err
		}
		for i := range results {
			r := &results[i]
			if failed := r.Failed(); len(failed) > 0 {
				return times, errors.New(failed[0])
			}
			switch r.Operation {
			case l2bench.Store:
				times[0] = r.Summary().P50
			case l2bench.Load:
				times[1] = r.Summary().P50
			case l2bench.Lookup, l2bench.All:
			}
		}
		return times, nil
	}
	small, err := round(1, probeSmall)
	if err != nil {
		return m, err
	}
	large, err := round(probeKeys, probeLarge)
	if err != nil {
		return m, err
	}
	return modelFrom(small, large), nil
}

// modelFrom is the model of a store and a load of one small object and of probeKeys
// large ones: what both kinds of calls take on average. Its constants have three digits, so
// that what is printed is what is used.
func modelFrom(small, large [2]time.Duration) storage.Model {
	latency := (small[0] + small[1]) / 2
	moving := max(large[0]+large[1]-2*latency, time.Microsecond)
	perSecond := 2 * probeKeys * probeLarge / moving.Seconds()
	return storage.Model{Latency: time.Duration(threeDigits(float64(latency))), BytesPerSecond: int64(threeDigits(perSecond))}
}

func threeDigits(v float64) float64 {
	if v <= 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-2)
	return math.Round(v/unit) * unit
}
