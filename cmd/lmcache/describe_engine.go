package main

import (
	"context"
	"strconv"

	"github.com/lmcache-go/lmcache/internal/admin"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
)

// describeEngineCommand is "lmcache describe engine".
type describeEngineCommand struct {
	flags.Client `kong:"embed,set='client_url=http://localhost:8000',set='client_url_note=the inference server'"`
	asking
}

// Examples implements cli.Helper.
func (*describeEngineCommand) Examples() []string {
	return []string{"lmcache describe engine", "lmcache describe engine --timeout 5 --json"}
}

// Check implements cli.Checker.
func (c *describeEngineCommand) Check(p *cli.Problems) {
	c.Client.Check(p)
	c.Output.Check(p)
}

// Run implements cli.Command.
func (c *describeEngineCommand) Run(ctx context.Context, std *cli.IO) error {
	return c.with(ctx, &c.Client, func(a *admin.Client) error {
		models, err := a.Models(ctx)
		if err != nil {
			return err
		}
		r := cli.NewReport("Inference Engine", cli.WidthDescribe)
		r.Line("health", "Health", health(true))
		r.Line("url", "URL", a.URL())
		r.Line("num_models", "Models", len(models))
		for i := range models {
			m := &models[i]
			r.ListSection("models", "Model "+strconv.Itoa(i))
			r.Line("model", "Model", m.ID)
			r.Line("root", "Loaded from", known(m.Root))
			r.Line("parent", "Adapter of", known(m.Parent))
			r.Line("max_model_len", "Longest prompt (tokens)", known(m.Longest))
			r.Line("owned_by", "Owned by", known(m.Owner))
		}
		return c.Emit(std.Stdout, r, nil)
	})
}
