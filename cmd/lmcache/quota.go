package main

import (
	"context"
	"math"

	"github.com/lmcache-go/lmcache/internal/admin"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
)

// quota is what all commands of quotas have.
type quota struct {
	flags.Client `kong:"embed,set='client_url=http://localhost:8080',set='client_url_note=the HTTP front end'"`
	asking
}

// Check implements cli.Checker.
func (c *quota) Check(p *cli.Problems) {
	c.Client.Check(p)
	c.Output.Check(p)
}

// salt is the tenant.
type salt struct {
	Salt string `arg:"" name:"salt" help:"Salt of the tenant; _default is the empty one"`
}

// quotaSetCommand is "lmcache quota set".
type quotaSetCommand struct {
	quota
	salt

	Limit float64 `name:"limit-gb" group:"Client" placeholder:"GB" help:"What the tenant may have, in GiB (required)"`
}

// Examples implements cli.Helper.
func (*quotaSetCommand) Examples() []string {
	return []string{"lmcache quota set tenant-a --limit-gb 2", "lmcache quota set _default --limit-gb 0.5 --json"}
}

// Check implements cli.Checker.
func (c *quotaSetCommand) Check(p *cli.Problems) {
	c.quota.Check(p)
	switch {
	case p.IsBad("limit-gb"):
	case !p.IsSet("limit-gb"):
		p.Flag("limit-gb", "is required")
	case c.Limit < 0 || math.IsNaN(c.Limit) || math.IsInf(c.Limit, 0):
		p.Flag("limit-gb", "must be a number of GiB, 0 or more, got %v", c.Limit)
	}
}

// Run implements cli.Command.
func (c *quotaSetCommand) Run(ctx context.Context, std *cli.IO) error {
	return c.with(ctx, &c.Client, func(a *admin.Client) error {
		q, warning, err := a.SetQuota(ctx, c.Salt, c.Limit)
		if err != nil {
			return err
		}
		if warning != "" {
			cli.Warn(std.Stderr, warning)
		}
		r := cli.NewReport("Quota Set", cli.WidthNormal)
		r.Line("cache_salt", "Cache salt", q.Salt)
		r.Line("limit_gb", "Limit (GB)", q.Limit)
		r.Line("status", "Status", q.Status)
		return c.Emit(std.Stdout, r, nil)
	})
}

// quotaGetCommand is "lmcache quota get".
type quotaGetCommand struct {
	quota
	salt
}

// Examples implements cli.Helper.
func (*quotaGetCommand) Examples() []string {
	return []string{"lmcache quota get tenant-a", "lmcache quota get _default --json"}
}

// Run implements cli.Command.
func (c *quotaGetCommand) Run(ctx context.Context, std *cli.IO) error {
	return c.with(ctx, &c.Client, func(a *admin.Client) error {
		q, err := a.Quota(ctx, c.Salt)
		if err != nil {
			return err
		}
		r := cli.NewReport("Quota Info", cli.WidthNormal)
		quotaLines(r, q)
		r.Line("exists", "Exists", q.Exists)
		return c.Emit(std.Stdout, r, nil)
	})
}

func quotaLines(r *cli.Report, q admin.Quota) {
	r.Line("cache_salt", "Cache salt", q.Salt)
	r.Line("limit_gb", "Limit (GB)", q.Limit)
	r.Line("current_usage_gb", "Current usage (GB)", q.Usage)
}

// quotaListCommand is "lmcache quota list".
type quotaListCommand struct{ quota }

// Examples implements cli.Helper.
func (*quotaListCommand) Examples() []string {
	return []string{"lmcache quota list", "lmcache quota list --format json"}
}

// Run implements cli.Command.
func (c *quotaListCommand) Run(ctx context.Context, std *cli.IO) error {
	return c.with(ctx, &c.Client, func(a *admin.Client) error {
		list, err := a.Quotas(ctx)
		if err != nil {
			return err
		}
		r := cli.NewReport("Quota List", cli.WidthQuotas)
		if len(list) == 0 {
			r.EmptyList("quotas")
		}
		for _, q := range list {
			r.ListSection("quotas", "Salt: "+q.Salt)
			quotaLines(r, q)
		}
		return c.Emit(std.Stdout, r, nil)
	})
}

// quotaDeleteCommand is "lmcache quota delete".
type quotaDeleteCommand struct {
	quota
	salt
}

// Examples implements cli.Helper.
func (*quotaDeleteCommand) Examples() []string {
	return []string{"lmcache quota delete tenant-a", "lmcache quota delete _default -q"}
}

// Run implements cli.Command.
func (c *quotaDeleteCommand) Run(ctx context.Context, std *cli.IO) error {
	return c.with(ctx, &c.Client, func(a *admin.Client) error {
		q, err := a.DeleteQuota(ctx, c.Salt)
		if err != nil {
			return err
		}
		r := cli.NewReport("Quota Delete", cli.WidthNormal)
		r.Line("cache_salt", "Cache salt", q.Salt)
		r.Line("status", "Status", q.Status)
		return c.Emit(std.Stdout, r, nil)
	})
}
