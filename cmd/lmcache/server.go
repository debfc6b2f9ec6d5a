package main

import (
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
)

// serverCommand is "lmcache server".
type serverCommand struct {
	flags.Server
	flags.L1 `kong:"embed,set='l1_size_note=(required)',set='policy_note=(required)'"`
	tiers
	flags.HTTP
	flags.Observability
	flags.Trace
	flags.Log
	flags.Upstream
	flags.UpstreamShared
}

// Examples implements cli.Helper.
func (*serverCommand) Examples() []string {
	return []string{
		"lmcache server --l1-size-gb 1 --eviction-policy LRU",
		`lmcache server --l1-size-gb 1 --eviction-policy LRU --l2-adapter '{"type":"fs","base_path":"/tmp/kv","max_capacity_gb":10}'`,
		"lmcache server --l1-size-gb 512MiB --eviction-policy LRU --http-port 0 --prometheus-port 0 --dry-run",
	}
}

// Check implements cli.Checker.
func (c *serverCommand) Check(p *cli.Problems) {
	c.Server.Check(p)
	c.L1.Require(p)
	c.L1.Check(p)
	if c.L2.Keeps() {
		c.L1.WarnFull(p)
	}
	c.tiers.check(p, &c.L1)
	c.HTTP.Check(p)
	c.Observability.Check(p)
	c.Trace.Check(p, &c.Observability)
	checkEndpoint(p, &c.Observability.Spans)
	flags.CheckListeners(p, c.HTTP.Listener(), c.Observability.Listener())
}
