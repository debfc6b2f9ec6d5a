package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/lmcache-go/lmcache/internal/admin"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
)

// clearCommand is "lmcache kvcache clear".
type clearCommand struct {
	flags.Client `kong:"embed,set='client_url=',set='client_url_note=the HTTP front end (required)'"`
	asking

	Force bool `name:"force" group:"Client" help:"Also what is in use: its readers miss, its writers store nothing"`
	Yes   bool `name:"yes" group:"Client" help:"Do not ask"`
}

// Examples implements cli.Helper.
func (*clearCommand) Examples() []string {
	return []string{"lmcache kvcache clear --url http://localhost:8080", "lmcache kvcache clear --url localhost:8080 --force --yes --json"}
}

// Check implements cli.Checker.
func (c *clearCommand) Check(p *cli.Problems) {
	c.Client.Check(p)
	c.Output.Check(p)
}

// Run implements cli.Command.
func (c *clearCommand) Run(ctx context.Context, std *cli.IO) error {
	if c.Force && !c.Yes && isTerminal(std) && !confirm(std, "Clear "+c.Base()+", also what is in use?") {
		return &cli.ExitError{Code: cli.ExitFailed, Err: fmt.Errorf("nothing was cleared: not confirmed (--yes does not ask)")}
	}
	return c.with(ctx, &c.Client, func(a *admin.Client) error {
		if err := a.Clear(ctx, c.Force); err != nil {
			return err
		}
		r := cli.NewReport("KV Cache Clear", cli.WidthNormal)
		r.Line("status", "Status", "OK")
		return c.Emit(std.Stdout, r, nil)
	})
}

// isTerminal tells whether somebody can be asked.
func isTerminal(std *cli.IO) bool {
	f, ok := std.Stdin.(interface {
		Fd() uintptr
		Write([]byte) (int, error)
	})
	return ok && cli.IsTerminal(f)
}

// confirm asks for a yes.
func confirm(std *cli.IO, question string) bool {
	_, _ = fmt.Fprintf(std.Stderr, "%s [y/N] ", question)
	line, _ := bufio.NewReader(std.Stdin).ReadString('\n') // no line is no
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}
