package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lmcache-go/lmcache/internal/admin"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// deleteCommand is "lmcache kvcache delete".
type deleteCommand struct {
	flags.Client `kong:"embed,set='client_url=http://localhost:8080',set='client_url_note=the HTTP front end'"`
	asking

	Keys    []string `arg:"" name:"key" help:"Keys as kvcache objects shows them; - reads them from stdin, one in a line"`
	Tier    string   `name:"tier" group:"Client" default:"l2" choices:"l1,l2,all" help:"Where to remove them"`
	Adapter string   `name:"adapter" group:"Client" placeholder:"NAME" help:"Only from this adapter (default: all)"`
	Force   bool     `name:"force" group:"Client" help:"From the first tier also what is in use"`

	keys  []kv.Key
	stdin bool
}

// Examples implements cli.Helper.
func (*deleteCommand) Examples() []string {
	return []string{
		"lmcache kvcache delete --tier l1 llama@01000100@0@00ff10",
		"lmcache kvcache delete --tier all --json llama@01000100@0@00ff10@tenant-a llama@01000100@0@00ff11",
	}
}

// Check implements cli.Checker.
func (c *deleteCommand) Check(p *cli.Problems) {
	c.Client.Check(p)
	c.Output.Check(p)
	for _, text := range c.Keys {
		if text == "-" {
			c.stdin = true
			continue
		}
		k, err := kv.ParseKey(text)
		if err != nil {
			p.Usage("%q: %v", text, err)
		}
		c.keys = append(c.keys, k)
	}
}

// Run implements cli.Command.
func (c *deleteCommand) Run(ctx context.Context, std *cli.IO) error {
	if c.stdin {
		more, err := readKeys(std.Stdin)
		if err != nil {
			return err
		}
		c.keys = append(c.keys, more...)
	}
	return c.with(ctx, &c.Client, func(a *admin.Client) error {
		total := admin.Deleted{OK: true}
		for part := range slices.Chunk(c.keys, admin.MaxDelete) {
			d, err := a.Delete(ctx, admin.Deletion{Keys: part, Tier: c.Tier, Force: c.Force, Adapter: c.Adapter})
			if err != nil {
				return err
			}
			total.Deleted, total.Skipped = total.Deleted+d.Deleted, total.Skipped+d.Skipped
			if !d.OK {
				total.OK, total.Error = false, d.Error
			}
		}
		r := cli.NewReport("KV Cache Delete", cli.WidthNormal)
		status := "OK"
		if !total.OK {
			status = "FAIL"
		}
		r.Line("status", "Status", status)
		r.Line("requested", "Keys", len(c.keys))
		r.Line("deleted", "Objects removed", total.Deleted)
		r.Line("skipped", "Objects in use", total.Skipped)
		if err := c.Emit(std.Stdout, r, nil); err != nil {
			return err
		}
		if !total.OK {
			return errors.New("not everything was removed: " + total.Error)
		}
		return nil
	})
}

// readKeys reads one key per line.
func readKeys(in io.Reader) (keys []kv.Key, err error) {
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		k, err := kv.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("stdin, line %d: %w", n, err)
		}
		keys = append(keys, k)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("stdin: %w", err)
	}
	return keys, nil
}
