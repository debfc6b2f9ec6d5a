package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/lmcache-go/lmcache/internal/admin"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
)

// prefetchCommand is "lmcache kvcache prefetch".
type prefetchCommand struct {
	flags.Client `kong:"embed,set='client_url=http://localhost:8080',set='client_url_note=the HTTP front end'"`
	asking

	promptFlags

	Wait cli.Seconds `name:"wait" group:"Client" default:"0" min:"0" help:"How long to wait for the result; 0: not at all"`
}

// Examples implements cli.Helper.
func (*prefetchCommand) Examples() []string {
	return []string{
		"lmcache kvcache prefetch --model llama --tokens-file - --wait 30s",
		"lmcache kvcache prefetch --model llama --salt tenant-a --tokens 1,2,3 --json",
	}
}

// Check implements cli.Checker.
func (c *prefetchCommand) Check(p *cli.Problems) {
	c.Client.Check(p)
	c.Output.Check(p)
	c.check(p)
}

// Run implements cli.Command.
func (c *prefetchCommand) Run(ctx context.Context, std *cli.IO) error {
	prompt, err := c.prompt(std.Stdin)
	if err != nil {
		return err
	}
	return c.with(ctx, &c.Client, func(a *admin.Client) error {
		job, err := a.Prefetch(ctx, prompt)
		if err != nil {
			return err
		}
		chunks := job.Chunks
		for end := time.Now().Add(c.Wait.Duration()); c.Wait.Duration() > 0 && job.Runs(); {
			if job, err = a.PrefetchStatus(ctx, job.ID); err != nil {
				return err
			}
			if job.Runs() && !pause(ctx, end) {
				break
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r := cli.NewReport("KV Cache Prefetch", cli.WidthNormal)
		r.Line("status", "Status", job.Status)
		r.Line("request_id", "Request ID", cmp.Or(job.ID, "N/A"))
		r.Line("chunks", "Chunks", chunks)
		if job.Total != nil {
			r.Line("found_keys", "Objects in L1 now", known(job.Found))
			r.Line("total_keys", "Objects of the prompt", *job.Total)
		}
		if err := c.Emit(std.Stdout, r, nil); err != nil {
			return err
		}
		if c.Wait.Duration() > 0 && job.Runs() {
			return fmt.Errorf("the prefetch is not done after %s; it goes on", c.Wait.Duration())
		}
		return nil
	})
}
