package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache/internal/admin"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
)

// prefetchCommand is "lmcache kvcache prefetch".
type prefetchCommand struct {
	flags.Client `kong:"embed,set='client_url=http://localhost:8080',set='client_url_note=the HTTP front end'"`
	asking

	Model     string      `name:"model" group:"Client" placeholder:"NAME" help:"Model whose workers are to find the prompt (required)"`
	WorldSize int         `name:"world-size" group:"Client" default:"1" min:"1" max:"255" help:"Ranks of the model with different KV"`
	Salt      string      `name:"salt" group:"Client" help:"Tenant of the prompt (default: none)"`
	Tokens    string      `name:"tokens" group:"Client" placeholder:"N,N,…" help:"Token ids of the prompt"`
	File      string      `name:"tokens-file" group:"Client" placeholder:"FILE" help:"File with the token ids, with commas or white space between them; - is stdin"`
	Wait      cli.Seconds `name:"wait" group:"Client" default:"0" min:"0" help:"How long to wait for the result; 0: not at all"`

	tokens []int32
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
	if c.Model == "" {
		p.Flag("model", "is required")
	}
	switch {
	case c.Tokens != "" && c.File != "":
		p.Flag("tokens-file", "excludes --tokens")
	case c.Tokens == "" && c.File == "":
		p.Flag("tokens", "or --tokens-file is required")
	case c.Tokens != "":
		var err error
		if c.tokens, err = tokenIDs(c.Tokens); err != nil {
			p.Flag("tokens", "%v", err)
		}
	}
}

// Run implements cli.Command.
func (c *prefetchCommand) Run(ctx context.Context, std *cli.IO) error {
	if c.File != "" {
		var err error
		if c.tokens, err = c.read(std.Stdin); err != nil {
			return err
		}
	}
	return c.with(ctx, &c.Client, func(a *admin.Client) error {
		job, err := a.Prefetch(ctx, admin.Prompt{Model: c.Model, WorldSize: c.WorldSize, Salt: c.Salt, Tokens: c.tokens})
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

// read reads the file of token ids.
func (c *prefetchCommand) read(stdin io.Reader) ([]int32, error) {
	var data []byte
	var err error
	if c.File == "-" {
		data, err = io.ReadAll(stdin)
	} else {
		data, err = os.ReadFile(c.File)
	}
	if err != nil {
		return nil, fmt.Errorf("--tokens-file: %w", err)
	}
	ids, err := tokenIDs(string(data))
	if err != nil {
		return nil, fmt.Errorf("--tokens-file: %w", err)
	}
	return ids, nil
}

// tokenIDs reads numbers with commas or white space between them; brackets around them,
// as of a JSON list, do not matter.
func tokenIDs(text string) ([]int32, error) {
	text = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text), "["), "]")
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
	ids := make([]int32, len(words))
	for i, word := range words {
		n, err := strconv.ParseUint(word, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("token %d must be a whole number from 0 to 2147483647, got %.40q", i, word)
		}
		ids[i] = int32(n)
	}
	return ids, nil
}
