package main

import (
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
)

// workloadCommand is "lmcache bench workload".
type workloadCommand struct {
	flags.Workload
	flags.L1 `kong:"embed,set='l1_size_note=(1 GiB by default)',set='policy_note=(LRU by default)'"`
	tiers
	flags.Observability
	flags.Trace
	flags.Log
	flags.UpstreamShared
	cli.Output
}

// Examples implements cli.Helper.
func (*workloadCommand) Examples() []string {
	return []string{
		"lmcache bench workload",
		"lmcache bench workload --l1-capacity-chunks 500 --limit 200 --json",
	}
}

// Check implements cli.Checker.
func (c *workloadCommand) Check(p *cli.Problems) {
	if c.L1.Policy == "" && !p.IsBad("eviction-policy") {
		c.L1.Policy = "LRU"
	}
	if !p.IsSet("log-level") {
		c.Log.Level = "WARNING" // a line per transfer would bury the result
	}
	c.Workload.Check(p)
	c.UseListener(p, &c.Observability)
	c.L1.Check(p)
	if !p.IsBad("l1-capacity-chunks") && c.CapacityChunks > 0 {
		flags.CheckMemory(p, "l1-capacity-chunks", c.options(nil).L1Bytes())
	}
	c.tiers.check(p, &c.L1)
	c.Observability.Check(p)
	if c.RequestLog == "-" {
		p.Flag("request-log", "must be a file: stdout holds the result")
	}
	c.Trace.Check(p, &c.Observability)
	checkEndpoint(p, &c.Observability.Spans)
	c.Output.Check(p)
}
