package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/replay"
)

// tierModels are the models of adapters in virtual time: those of their types, or those
// of the flag --l2-model. Those that are probed are not known yet.
func tierModels(p *cli.Problems, configs []l2.Config, texts []string) (models []storage.Model, probed []bool) {
	const flag = "l2-model"
	given := make(map[string]storage.Model)
	probe := make(map[string]bool)
	for _, text := range texts {
		name, m, err := parseModel(text)
		if rest, ok := strings.CutSuffix(text, "="+probeModel); ok && rest != "" {
			name, err = rest, nil
		}
		switch {
		case err != nil:
			p.Flag(flag, "%q: %v", text, err)
		case !hasType(configs, name):
			p.Flag(flag, "%q: no adapter has the type %s", text, name)
		default:
			given[name], probe[name] = m, strings.HasSuffix(text, "="+probeModel)
		}
	}
	for i := range configs {
		m, ok := given[configs[i].Type]
		if !ok {
			m, ok = modelOf(&configs[i])
		}
		probed = append(probed, probe[configs[i].Type])
		if !ok {
			p.Element("l2-adapter", i+1, "there are no figures for %s in virtual time: give --l2-model %[1]s=LATENCY:BANDWIDTH, such as %[1]s=200us:5GB/s", configs[i].Type)
		}
		models = append(models, m)
	}
	return models, probed
}

func hasType(configs []l2.Config, name string) bool {
	for i := range configs {
		if configs[i].Type == name {
			return true
		}
	}
	return false
}

// modelOf is the model of an adapter's type; that of mock is in its configuration.
func modelOf(c *l2.Config) (storage.Model, bool) {
	if c.Type != "mock" {
		return storage.ModelOf(c.Type)
	}
	gb, ok := c.Shown["mock_bandwidth_gb"].(float64)
	if !ok {
		return storage.Model{}, false
	}
	latency, _ := c.Shown["latency_ms"].(float64)
	return storage.Model{Latency: time.Duration(latency * float64(time.Millisecond)), BytesPerSecond: int64(gb * 1e9)}, true
}

// modelTexts are the models of the tiers as --l2-model takes them.
func (c *traceReplayCommand) modelTexts() (list []string) {
	for i, m := range c.models {
		list = append(list, c.Configs[i].Type+"="+modelText(m))
	}
	return list
}

// modelText is a model as --l2-model takes it.
func modelText(m storage.Model) string {
	if m.BytesPerSecond == 0 {
		return m.Latency.String()
	}
	return fmt.Sprintf("%v:%gGB/s", m.Latency, float64(m.BytesPerSecond)/1e9)
}

// parseModel reads NAME=LATENCY:BANDWIDTH, such as fs=200us:5GB/s.
func parseModel(text string) (name string, m storage.Model, err error) {
	bad := errors.New("must be NAME=LATENCY:BANDWIDTH, such as fs=200us:5GB/s, or NAME=probe")
	name, rest, ok := strings.Cut(text, "=")
	latency, bandwidth, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 || name == "" {
		return name, m, bad
	}
	if m.Latency, err = time.ParseDuration(latency); err != nil || m.Latency < 0 {
		return name, m, bad
	}
	for unit, factor := range map[string]float64{"GB/s": 1e9, "MB/s": 1e6} {
		if number, ok := strings.CutSuffix(bandwidth, unit); ok {
			n, err := strconv.ParseFloat(number, 64)
			if err != nil || !(n > 0) || n*factor > math.MaxInt64/2 {
				return name, m, bad
			}
			m.BytesPerSecond = int64(n * factor)
			return name, m, nil
		}
	}
	return name, m, bad
}

// virtual replays the recording in virtual time.
func (c *traceReplayCommand) virtual(
	ctx context.Context, std *cli.IO, log *slog.Logger, so storage.Options, f *trace.File, calls int64, out *replayFiles,
) (_ *replay.Result, err error) {
	display := &cli.Output{Quiet: c.Replay.Quiet, NoProgress: c.NoProgress}
	tape, err := readTape(std, display, log, f, calls)
	if err != nil {
		return nil, err
	}
	bar := display.Progress(std, "Replaying", tape.Calls())
	defer bar.Close()
	so.Logger = slog.New(slog.DiscardHandler) // of another time
	r, err := tape.Virtual(ctx, replay.VirtualOptions{
		Storage: so, Models: c.models, Seed: c.Seed, From: c.From, To: c.To, Diverged: out.diverged.one, Logger: log, Strict: c.Strict,
		Line: func(l replay.Line) {
			if c.Verbose && !c.Replay.Quiet {
				c.line(std.Stdout, &l, calls)
			}
			bar.Set(l.Index)
		},
		Complete: out.told(),
	})
	if err != nil {
		return nil, err
	}
	return r, out.jsonl.err
}

// readTape decodes a recording into memory, and tells what is damaged.
func readTape(std *cli.IO, display *cli.Output, log *slog.Logger, f *trace.File, calls int64) (*replay.Tape, error) {
	bar := display.Progress(std, "Reading", calls)
	defer bar.Close()
	n := int64(0)
	return replay.ReadTape(func(yield func(trace.Record, error) bool) {
		for rec, err := range f.Records() {
			if damage, ok := errors.AsType[*trace.DamageError](err); ok {
				log.Warn(damage.Error())
			}
			if err == nil && !rec.Own() {
				n++
				bar.Set(n)
			}
			if !yield(rec, err) {
				return
			}
		}
	})
}
