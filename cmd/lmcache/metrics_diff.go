package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache/internal/artefact"
	"github.com/lmcache-go/lmcache/internal/cli"
)

const (
	fetchTimeout = 10 * time.Second
	maxInventory = 256 << 20 // bytes of a scrape or a reference
)

// metricsDiffCommand is "lmcache metrics diff".
type metricsDiffCommand struct {
	Old  string `arg:"" name:"old" help:"The older one: a URL, a file with a scrape or with the output of metrics docs --json, or - for stdin."`
	New  string `arg:"" optional:"" name:"new" help:"The newer one, likewise; this program if it is left out."`
	JSON bool   `name:"json" group:"Output" help:"Print a JSON object"`
}

// Help is the text before the examples.
func (*metricsDiffCommand) Help() string {
	return "Prints what was removed (-), added (+) or changed (~) between two builds, and ends with exit code 1 if something was removed or changed: " +
		"then dashboards and alerts over the older metrics may stop to work. A scrape shows only series that have come into being, and no units; " +
		"what a reference has and a scrape has not (?) changes nothing. A URL without a path is that of /metrics."
}

// Examples implements cli.Helper.
func (*metricsDiffCommand) Examples() []string {
	return []string{"lmcache metrics diff before.json", "lmcache metrics diff before.json after.json --json"}
}

// Check implements cli.Checker.
func (c *metricsDiffCommand) Check(p *cli.Problems) {
	if c.Old == "-" && c.New == "-" {
		p.Usage("metrics diff: stdin can be one of the two, not both")
	}
}

// Run implements cli.Command.
func (c *metricsDiffCommand) Run(ctx context.Context, std *cli.IO) error {
	older, err := inventory(ctx, std.Stdin, c.Old)
	if err != nil {
		return err
	}
	newer := reference().Inventory()
	if c.New != "" {
		if newer, err = inventory(ctx, std.Stdin, c.New); err != nil {
			return err
		}
	}
	d := artefact.Diff(older, newer)
	write := d.WriteText
	if c.JSON {
		write = d.WriteJSON
	}
	if err := write(std.Stdout); err != nil {
		return err
	}
	if d.Breaks() {
		return &cli.ExitError{Code: cli.ExitFailed}
	}
	return nil
}

// inventory reads what is to be compared from where a word of the command line says.
func inventory(ctx context.Context, stdin io.Reader, from string) (*artefact.Inventory, error) {
	var text io.ReadCloser
	var err error
	switch {
	case from == "-":
		text = io.NopCloser(stdin)
	case strings.HasPrefix(from, "http://"), strings.HasPrefix(from, "https://"):
		ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
		defer cancel()
		text, err = fetchMetrics(ctx, from)
	default:
		text, err = os.Open(from)
	}
	if err != nil {
		return nil, err
	}
	v, err := artefact.ReadInventory(io.LimitReader(text, maxInventory))
	if err = errors.Join(err, text.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return v, nil
}

// fetchMetrics begins to read a scrape.
func fetchMetrics(ctx context.Context, from string) (io.ReadCloser, error) {
	u, err := url.Parse(from)
	if err != nil {
		return nil, err
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/metrics"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("GET %s: %s", u.Redacted(), res.Status), res.Body.Close())
	}
	return res.Body, nil
}
