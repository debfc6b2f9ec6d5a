package main

import (
	"log/slog"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace"
)

// traceOptions turns the flags of a recording into its options.
func traceOptions(f *flags.Trace, config map[string]any, log *slog.Logger) trace.Options {
	o := trace.Options{
		Path: f.TraceOutput, Queue: f.TraceQueue, Drop: f.TraceOverflow == "drop",
		MaxBytes: int64(f.TraceMaxBytes), MaxFiles: f.TraceMaxFiles,
		Config: trace.Config(config), Writer: "lmcache-go/" + readBuild().Version, Logger: log,
	}
	if f.TraceFormat == "plain" {
		o.Format = trace.Plain
	}
	if f.TraceArgs == "0.5.6" {
		o.Args = trace.Args056
	}
	return o
}

// storageConfig is what the header of a recording says of the configuration: what
// the decisions of the storage manager depend on.
func storageConfig(chunkTokens int, o l1.Options, tiers []storage.Tier) map[string]any {
	config := storage.Options{L1: o, Tiers: tiers}.Config()
	if chunkTokens == 0 {
		chunkTokens = lmcache.DefaultChunkTokens
	}
	config["chunk_size"] = chunkTokens
	return config
}

// record begins the recording that the flags ask for, if they do. It ends with the bus.
func (o *observability) record(f *flags.Trace, config map[string]any, log *slog.Logger) (err error) {
	if f.Records() {
		o.recorder, err = trace.Open(o.bus, traceOptions(f, config, log))
	}
	return err
}
