package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/lmcache-go/lmcache/internal/admin"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/internal/top"
)

// topCommand is "lmcache top".
type topCommand struct {
	flags.Top
}

// What a single frame has: characters in a line, and tenants unless told otherwise.
const (
	plainWidth   = 100
	plainTenants = 20
)

// Examples implements cli.Helper.
func (*topCommand) Examples() []string {
	return []string{"lmcache top", "lmcache top --once --json --tenants 5"}
}

// Check implements cli.Checker.
func (c *topCommand) Check(p *cli.Problems) {
	c.Top.Check(p)
	if c.Server != "" && p.IsArgument("url") {
		p.Flag("url", "is given twice, with and without the flag")
	}
	if _, err := c.page(); err != nil {
		p.Flag("url", "%v", err)
	}
	if d := c.Interval.Duration(); !p.IsBad("interval") && (d < top.MinInterval || d > top.MaxInterval) {
		p.Flag("interval", "must be between %s and %s, got %s", top.MinInterval, top.MaxInterval, d)
	}
}

// page is the URL of the metrics.
func (c *topCommand) page() (string, error) {
	if c.Server != "" {
		return top.ParseURL(c.Server)
	}
	return top.ParseURL(c.URL)
}

// Run implements cli.Command: it draws until somebody quits, or prints one frame.
func (c *topCommand) Run(ctx context.Context, std *cli.IO) error {
	url, err := c.page()
	if err != nil {
		return err
	}
	trust, err := admin.TLSConfig(c.CAFile, c.Insecure)
	if err != nil {
		return err
	}
	client := top.NewClient(url, top.ClientOptions{Timeout: c.Timeout.Duration(), TLS: trust, Token: c.AdminToken()})
	defer client.Close()
	live := top.Live{
		Source:  client,
		Options: top.Options{URL: url, SlowAfter: c.Slow.Duration()},
		View: top.View{
			Color: !c.NoColor && std.Colors(std.Stdout), ASCII: !unicodeLocale(std), Interval: c.Interval.Duration(),
			Sort: top.Order(c.Sort), Tenants: c.Tenants,
		},
	}
	out, isFile := std.Stdout.(*os.File)
	if c.Once || c.JSON || !isFile || !cli.IsTerminal(out) {
		return c.once(ctx, std.Stdout, &live)
	}
	in, _ := std.Stdin.(*os.File)
	return watch(ctx, in, out, &live)
}

// once prints one frame.
func (c *topCommand) once(ctx context.Context, w io.Writer, l *top.Live) error {
	f, err := top.Once(ctx, l.Source, l.Options, l.View.Interval)
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Errorf("%w (is the server running, and is that its metrics port?)", err)
	}
	if err != nil {
		return err
	}
	if c.Tenants == 0 {
		c.Tenants = plainTenants
	}
	if !c.JSON {
		l.View.Width, l.View.Tenants = plainWidth, c.Tenants
		_, err := io.WriteString(w, top.Render(f, l.View))
		return err
	}
	top.SortTenants(f.Tenants, top.Order(c.Sort))
	f.Tenants = f.Tenants[:min(len(f.Tenants), c.Tenants)]
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(f)
}

// watch shows a live view on a terminal, which gets back what it showed before.
func watch(ctx context.Context, in, out *os.File, l *top.Live) (err error) {
	t, err := top.OpenTerminal(in, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	l.Out, l.Size, l.Keys, l.Resized = t, t.Size, t.Keys(), t.Resized()
	l.View.Keys = l.Keys != nil
	if err := l.Run(ctx); err != nil {
		return fmt.Errorf("top: %w", err)
	}
	return nil
}

// unicodeLocale tells whether the terminal takes more than ASCII, as far as the
// environment says: it does unless a locale is set that is not one of UTF-8.
func unicodeLocale(std *cli.IO) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v, _ := std.LookupEnv(name); v != "" {
			v = strings.ToLower(strings.ReplaceAll(v, "-", ""))
			return strings.Contains(v, "utf8")
		}
	}
	return true
}
