package main

import (
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/l1"
)

// l1Options turns the flags of the first tier into its options.
func l1Options(f *flags.L1) l1.Options {
	return l1.Options{
		Bytes: f.Bytes(), Align: f.AlignBytes, Policy: f.Policy,
		WriteTTL: f.WriteTTL.Duration(), ReadTTL: f.ReadTTL.Duration(),
	}
}
