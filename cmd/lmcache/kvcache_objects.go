package main

import (
	"context"
	"fmt"

	"github.com/lmcache-go/lmcache/internal/admin"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
)

// objectsCommand is "lmcache kvcache objects".
type objectsCommand struct {
	flags.Client `kong:"embed,set='client_url=http://localhost:8080',set='client_url_note=the HTTP front end'"`
	asking

	Tier    string `name:"tier" group:"Client" default:"l2" choices:"l2" help:"Tier to list; the first one has no list"`
	Adapter string `name:"adapter" group:"Client" placeholder:"NAME" help:"Adapter, such as fs, or fs#1 for that at index 1 (default: the first one)"`
	Model   string `name:"model" group:"Client" placeholder:"NAME" help:"Only objects of this model"`
	Limit   int    `name:"limit" group:"Client" default:"100" min:"0" help:"Objects to show at most; 0: all"`
}

// maxPage is the size of a page that is asked for.
const maxPage = 5000

// Examples implements cli.Helper.
func (*objectsCommand) Examples() []string {
	return []string{"lmcache kvcache objects", "lmcache kvcache objects --adapter fs --limit 0 --json"}
}

// Check implements cli.Checker.
func (c *objectsCommand) Check(p *cli.Problems) {
	c.Client.Check(p)
	c.Output.Check(p)
}

// Run implements cli.Command.
func (c *objectsCommand) Run(ctx context.Context, std *cli.IO) error {
	return c.with(ctx, &c.Client, func(a *admin.Client) error {
		adapter, list, more, err := c.list(ctx, a)
		if err != nil {
			return err
		}
		total := int64(0)
		for _, o := range list {
			total += o.Bytes
		}
		if c.Adapter != "" {
			adapter = c.Adapter // a server answers with the type, which others may have too
		}
		r := cli.NewReport("KV Cache Objects", cli.WidthWide)
		r.Line("adapter", "Adapter", adapter)
		r.Line("num_objects", "Objects shown", len(list))
		r.Line("size_bytes", "Their bytes", total)
		r.Line("more", "There are more (--limit)", more)
		if len(list) == 0 {
			r.EmptyList("objects")
		}
		for _, o := range list {
			r.ListLine("objects", []cli.Pair{{Key: "key", Value: o.Key.String()}, {Key: "size_bytes", Value: o.Bytes}}, fmt.Sprintf("%12d  %s", o.Bytes, o.Key))
		}
		return c.Emit(std.Stdout, r, nil)
	})
}

// list reads pages until there is enough.
func (c *objectsCommand) list(ctx context.Context, a *admin.Client) (adapter string, list []admin.Object, more bool, err error) {
	l := admin.Listing{Tier: c.Tier, Adapter: c.Adapter, Model: c.Model, Size: maxPage}
	for {
		if c.Limit > 0 {
			l.Size = min(maxPage, c.Limit-len(list))
		}
		p, err := a.Objects(ctx, l)
		if err != nil {
			return "", nil, false, err
		}
		adapter, list = p.Adapter, append(list, p.Entries...)
		l.Token = p.Next
		if l.Token == "" || c.Limit > 0 && len(list) >= c.Limit {
			break
		}
	}
	if c.Limit > 0 && len(list) > c.Limit {
		list, l.Token = list[:c.Limit], "more"
	}
	return adapter, list, l.Token != "", nil
}
