package main

import (
	"time"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/l1"
)

// l1Options turns the flags of the first tier into its options.
func l1Options(f *flags.L1) l1.Options {
	o := l1.Options{
		Bytes: f.Bytes(), Align: f.AlignBytes, Policy: f.Policy, Mode: l1.Mode(f.Mode),
		WriteTTL: f.WriteTTL.Duration(), ReadTTL: f.ReadTTL.Duration(),
		Eager: !f.UseLazy, HugePages: f.UseHugepages, ShmName: f.ShmName, ShmMode: f.FileMode(),
	}
	if o.Mode == l1.ModeWatermark {
		o.Watermark, o.EvictionRatio = f.Watermark, ratioOption(f.Ratio)
	}
	switch n := f.InitBytes(); n {
	case l1.DefaultInitBytes: // left alone, it is no wish that could be too large
	case 0:
		o.InitBytes = 1 // as little as can be
	default:
		o.InitBytes = n
	}
	return o
}

// ratioOption is --eviction-ratio as an option, where 0 means the default.
func ratioOption(ratio float64) float64 {
	if ratio == 0 {
		return l1.NoEvictionRatio
	}
	return ratio
}

// showMemory has the display of out show how much of the memory is ready, where
// that is waited for. The result ends it.
func showMemory(out *cli.Output, io *cli.IO, o *l1.Options) (end func()) {
	if !o.Eager && !o.HugePages {
		return func() {}
	}
	bar := out.Progress(io, "Preparing L1 memory", o.Bytes)
	o.Progress = func(done, _ int64) { bar.Set(done) }
	return bar.Close
}

// memoryText says on one line what L1's memory is.
func memoryText(f *flags.L1) string {
	switch {
	case f.UseHugepages:
		return "huge pages"
	case f.ShmName != "" && f.UseLazy:
		return "shared as " + l1.SegmentName(f.ShmName) + ", lazy"
	case f.ShmName != "":
		return "shared as " + l1.SegmentName(f.ShmName)
	case f.UseLazy:
		return "private, lazy"
	}
	return "private"
}

// drainTimeout is how long a clean stop waits for stores to outer tiers; 0 on the
// command line is not at all.
func drainTimeout(f *flags.L1) time.Duration {
	if f.ShutdownTimeout == 0 {
		return -1
	}
	return f.ShutdownTimeout.Duration()
}
