package main

import (
	"errors"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fault"
	"github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/l2/resp"
	"github.com/lmcache-go/lmcache/l2/s3"
	"github.com/lmcache-go/lmcache/l2/zstd"
)

// l2Registry has the types of adapters and serdes that this program offers.
func l2Registry() (*l2.Registry, error) {
	r := l2.NewRegistry()
	err := errors.Join(
		r.Register(fs.Kind(), s3.Kind(), fault.Kind()),
		r.Register(resp.Kinds()...),
		r.Register(mem.Kinds()...),
		r.RegisterSerde(zstd.Kind()),
	)
	return r, err
}

// l2Configs reads the JSON objects of the flag --l2-adapter. All problems are
// reported, with the numbers of the adapters, and so are warnings.
func l2Configs(p *cli.Problems, texts []string) []l2.Config {
	const flag = "l2-adapter"
	r, err := l2Registry()
	if err != nil {
		p.Errors(err)
		return nil
	}
	configs, err := r.Parse(texts, p.LookupEnv)
	if err != nil {
		report(p, flag, err)
		return nil
	}
	for i, c := range configs {
		for _, text := range c.Warnings {
			p.Warn("--%s %d (%s): %s", flag, i+1, c.Type, text)
		}
	}
	return configs
}

// report adds the errors that err joins.
func report(p *cli.Problems, flag string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			report(p, flag, e)
		}
		return
	}
	if e, ok := errors.AsType[*l2.ConfigError](err); ok {
		p.Element(flag, e.Adapter, "%s", e.Message())
		return
	}
	p.Flag(flag, "%v", err)
}
