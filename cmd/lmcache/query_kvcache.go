package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/lmcache-go/lmcache/internal/admin"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
)

// queryKVCacheCommand is "lmcache query kvcache".
type queryKVCacheCommand struct {
	flags.Client `kong:"embed,set='client_url=http://localhost:8080',set='client_url_note=the HTTP front end'"`
	asking
	promptFlags
}

// Help is what the help says before its examples.
func (*queryKVCacheCommand) Help() string {
	return `It says for each full chunk of the prompt in which tier it is, or why it is missing, and how much of the prompt a request would get from the cache now. It only looks: nothing is loaded, leased, refreshed or counted. A worker of the model must be attached.`
}

// Examples implements cli.Helper.
func (*queryKVCacheCommand) Examples() []string {
	return []string{
		"lmcache query kvcache --model llama --tokens-file prompt.json",
		"lmcache query kvcache --model llama --salt tenant-a --tokens 1,2,3 --json",
	}
}

// Check implements cli.Checker.
func (c *queryKVCacheCommand) Check(p *cli.Problems) {
	c.Client.Check(p)
	c.Output.Check(p)
	c.check(p)
}

// Run implements cli.Command.
func (c *queryKVCacheCommand) Run(ctx context.Context, std *cli.IO) error {
	prompt, err := c.prompt(std.Stdin)
	if err != nil {
		return err
	}
	if len(prompt.Tokens) == 0 {
		if c.File == "" {
			return fmt.Errorf("--tokens: %w", errNoTokens)
		}
		return fmt.Errorf("--tokens-file: %w", errNoTokens)
	}
	return c.with(ctx, &c.Client, func(a *admin.Client) error {
		e, err := a.Explain(ctx, prompt)
		if err != nil {
			return err
		}
		return c.Emit(std.Stdout, queryReport(&e), nil)
	})
}

// reasons are the reasons of misses in other words.
var reasons = map[string]string{
	"absent":           "was never stored here, as far as is remembered",
	"evicted":          "was in the first tier and has left it",
	"staged":           "is just being written",
	"l2_miss":          "is neither in the first tier nor in an outer one",
	"l2_io_error":      "an outer tier failed when it was asked",
	"l2_corrupt":       "what an outer tier has is damaged",
	"l1_oom":           "there was no memory to load it into",
	"deadline":         "the time for the request was over",
	"l2_timeout":       "an outer tier did not answer in time",
	"layout_mismatch":  "is there with another layout",
	"adapter_open":     "an outer tier is out of order and not asked",
	"after_gap":        "is there, behind one that is not",
	"closed":           "the cache is being closed",
	"under_chunk_size": "the prompt has no full chunk",
	"no_layout":        "no worker of the model is attached",
}

// queryReport folds runs of chunks of which the same is said.
func queryReport(e *admin.Explanation) *cli.Report {
	r := cli.NewReport("KV Cache Query", cli.WidthWide)
	lines, full := queryLines(e.Chunks), 0
	r.TextLine(lines[0])
	for i, c := range e.Chunks {
		if !c.Hash.IsZero() {
			full++
		}
		r.ListLine("chunks", []cli.Pair{
			{Key: "index", Value: c.Index}, {Key: "hash", Value: c.Hash.String()}, {Key: "tier", Value: c.Tier}, {Key: "reason", Value: c.Reason},
		}, lines[i+1])
	}
	if len(e.Chunks) == 0 {
		r.EmptyList("chunks")
	}
	r.Foot(fmt.Sprintf("prefix: %d of %d chunks (%d tokens)", e.Prefix, full, e.Tokens),
		[]cli.Pair{{Key: "prefix_chunks", Value: e.Prefix}, {Key: "prefix_tokens", Value: e.Tokens}})
	return r
}

// queryLines are a heading, and a line for the first chunk of each run.
func queryLines(chunks []admin.Chunk) []string {
	rows := make([][3]string, len(chunks)+1)
	rows[0] = [3]string{"chunks", "hashes", "tier"}
	lines := make([]string, len(rows))
	for lo := 0; lo < len(chunks); {
		first, hi := &chunks[lo], lo+1
		for hi < len(chunks) && chunks[hi].Tier == first.Tier && chunks[hi].Reason == first.Reason {
			hi++
		}
		last := &chunks[hi-1]
		rows[lo+1] = [3]string{strconv.Itoa(first.Index), digits(first), first.Tier}
		if hi-lo > 1 {
			rows[lo+1][0] += fmt.Sprintf("-%d", last.Index)
			rows[lo+1][1] += ".." + digits(last)
		}
		if lines[lo+1] = first.Reason; first.Reason != "" {
			lines[0] = "why"
		}
		if text := reasons[first.Reason]; text != "" {
			lines[lo+1] += ": " + text
		}
		lo = hi
	}
	var width [3]int
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len(cell))
		}
	}
	for i, row := range rows {
		if row[0] != "" {
			lines[i] = strings.TrimRight(fmt.Sprintf("%-*s  %-*s  %-*s  %s", width[0], row[0], width[1], row[1], width[2], row[2], lines[i]), " ")
		}
	}
	return lines
}

// digits is the beginning of a chunk's hash.
func digits(c *admin.Chunk) string {
	if c.Hash.IsZero() {
		return "-"
	}
	text := c.Hash.String()
	return text[:min(len(text), 8)]
}
