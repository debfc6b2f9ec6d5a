package main

import (
	"context"
	"time"

	"github.com/lmcache-go/lmcache/internal/admin"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
)

// pingKVCacheCommand is "lmcache ping kvcache".
type pingKVCacheCommand struct {
	flags.Client `kong:"embed,set='client_url=http://localhost:8080',set='client_url_note=the HTTP front end'"`
	ping
}

// pingEngineCommand is "lmcache ping engine".
type pingEngineCommand struct {
	flags.Client `kong:"embed,set='client_url=http://localhost:8000',set='client_url_note=the inference server'"`
	ping
}

// ping is what both have.
type ping struct {
	asking

	Wait cli.Seconds `name:"wait" group:"Client" default:"0" min:"0" help:"How long to try until the server is healthy; 0: once"`
}

// again is the time between two tries.
const again = 200 * time.Millisecond

// Examples implements cli.Helper.
func (*pingKVCacheCommand) Examples() []string {
	return []string{"lmcache ping kvcache", "lmcache ping kvcache --wait 30s --json"}
}

// Examples implements cli.Helper.
func (*pingEngineCommand) Examples() []string {
	return []string{"lmcache ping engine", "lmcache ping engine --wait 10m -q"}
}

// Check implements cli.Checker.
func (c *pingKVCacheCommand) Check(p *cli.Problems) {
	c.Client.Check(p)
	c.Output.Check(p)
}

// Check implements cli.Checker.
func (c *pingEngineCommand) Check(p *cli.Problems) {
	c.Client.Check(p)
	c.Output.Check(p)
}

// Run implements cli.Command.
func (c *pingKVCacheCommand) Run(ctx context.Context, std *cli.IO) error {
	return c.run(ctx, std, &c.Client, "Ping KV Cache", "/healthcheck")
}

// Run implements cli.Command.
func (c *pingEngineCommand) Run(ctx context.Context, std *cli.IO) error {
	return c.run(ctx, std, &c.Client, "Ping Engine", "/health")
}

func (p *ping) run(ctx context.Context, std *cli.IO, f *flags.Client, title, path string) error {
	var took time.Duration
	err := p.with(ctx, f, func(c *admin.Client) error {
		for end := time.Now().Add(p.Wait.Duration()); ; {
			start := time.Now()
			err := c.Ping(ctx, path)
			took = time.Since(start)
			if err == nil || !pause(ctx, again, end) {
				return err
			}
		}
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	status := "OK"
	if err != nil {
		status = "FAIL"
	}
	r := cli.NewReport(title, cli.WidthPing)
	r.Line("status", "Status", status)
	r.Line("round_trip_time_ms", "Round trip time (ms)", float64(took)/float64(time.Millisecond))
	if e := p.Emit(std.Stdout, r, nil); e != nil {
		return e
	}
	return err
}
