package main

import (
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/l1"
)

// l1Options turns the flags of the first tier into its options.
func l1Options(f *flags.L1) l1.Options {
	o := l1.Options{
		Bytes: f.Bytes(), Align: f.AlignBytes, Policy: f.Policy, Mode: l1.Mode(f.Mode),
		WriteTTL: f.WriteTTL.Duration(), ReadTTL: f.ReadTTL.Duration(),
	}
	if o.Mode == l1.ModeWatermark {
		o.Watermark, o.EvictionRatio = f.Watermark, f.Ratio
		if f.Ratio == 0 {
			o.EvictionRatio = l1.NoEvictionRatio
		}
	}
	return o
}
