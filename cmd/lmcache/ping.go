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

	Wait     cli.Seconds `name:"wait" group:"Client" default:"0" min:"0" help:"How long to try until the server is healthy; 0: once"`
	Count    int         `name:"count" group:"Client" default:"1" min:"1" max:"1000000" help:"How often to ask; all answers must be good"`
	Interval cli.Seconds `name:"interval" group:"Client" default:"1" min:"0" help:"Time between two questions of --count"`
}

// Examples implements cli.Helper.
func (*pingKVCacheCommand) Examples() []string {
	return []string{"lmcache ping kvcache", "lmcache ping kvcache --wait 30s --json", "lmcache ping kvcache --count 3 --interval 0.1"}
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
	var t trips
	err := p.with(ctx, f, func(c *admin.Client) error {
		for end := time.Now().Add(p.Wait.Duration()); ; {
			took, err := trip(ctx, c, path)
			if err == nil || !pause(ctx, end) {
				t.add(took, err)
				break
			}
		}
		for t.n < p.Count && wait(ctx, p.Interval.Duration()) {
			t.add(trip(ctx, c, path))
		}
		return t.err
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
	r.Line("round_trip_time_ms", "Round trip time (ms)", milliseconds(t.mean()))
	if p.Count > 1 {
		r.Line("fastest_ms", "Fastest (ms)", milliseconds(t.fastest))
		r.Line("slowest_ms", "Slowest (ms)", milliseconds(t.slowest))
		r.Line("count", "Asked", t.n)
		r.Line("failed", "Failed", t.failed)
	}
	if e := p.Emit(std.Stdout, r, nil); e != nil {
		return e
	}
	return err
}

// trip asks once.
func trip(ctx context.Context, c *admin.Client, path string) (took time.Duration, err error) {
	start := time.Now()
	err = c.Ping(ctx, path)
	return time.Since(start), err
}

// trips are the answers so far.
type trips struct {
	n, failed        int
	sum              time.Duration
	fastest, slowest time.Duration
	err              error // the first one
}

func (t *trips) add(took time.Duration, err error) {
	if t.n == 0 || took < t.fastest {
		t.fastest = took
	}
	t.slowest = max(t.slowest, took)
	t.n, t.sum = t.n+1, t.sum+took
	if err != nil {
		t.failed++
		if t.err == nil {
			t.err = err
		}
	}
}

func (t *trips) mean() time.Duration { return t.sum / time.Duration(max(t.n, 1)) }
