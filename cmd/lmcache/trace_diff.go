package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/trace/replay"
)

// traceDiffCommand is "lmcache trace diff".
type traceDiffCommand struct {
	flags.Diff
}

// Help is the text before the examples.
func (*traceDiffCommand) Help() string {
	return "Compares call by call what two replays decided: keys granted and finished, found in L1, loaded from outer tiers, readable. " +
		"The first difference names its call; with lines of --jsonl-keys also the first key, and when and for whom it was evicted. How long calls took is no difference."
}

// Examples implements cli.Helper.
func (*traceDiffCommand) Examples() []string {
	return []string{
		"lmcache trace diff before.jsonl after.jsonl",
		"lmcache trace diff before.jsonl after.jsonl --json --fail-on-divergence --divergence-out differences.jsonl",
	}
}

// Check implements cli.Checker.
func (c *traceDiffCommand) Check(p *cli.Problems) {
	c.Diff.Check(p)
	var files fileUses
	files.reads("A", c.A)
	files.reads("B", c.B)
	files.writes("divergence-out", c.DivergenceOut)
	files.check(p)
}

// Run implements cli.Command.
func (c *traceDiffCommand) Run(ctx context.Context, std *cli.IO) (err error) {
	a, endA, err := openLines(ctx, std, c.A)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, endA()) }()
	b, endB, err := openLines(ctx, std, c.B)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, endB()) }()
	told, err := openDivergences(c.DivergenceOut)
	if err != nil {
		return err
	}
	d, err := replay.Diff(a, b, c.A, c.B, told.one)
	if err = errors.Join(err, told.close()); err != nil {
		return err
	}
	if c.ChunkTokens == 0 { // else it is given
		c.ChunkTokens = max(d.A.ChunkTokens, d.B.ChunkTokens)
	}
	if !c.Quiet {
		if err := c.print(std.Stdout, d); err != nil {
			return err
		}
	}
	if c.FailOnDivergence && d.Diverged > 0 {
		return fmt.Errorf("--fail-on-divergence: %d of %d outcomes differ", d.Diverged, d.Compared)
	}
	return nil
}

// openLines opens one of the inputs.
func openLines(ctx context.Context, std *cli.IO, path string) (r io.Reader, end func() error, err error) {
	if path == "-" {
		return &countedReader{ctx: ctx, r: std.Stdin}, func() error { return nil }, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return &countedReader{ctx: ctx, r: f}, f.Close, nil
}

// diffSide is one of the two as JSON.
type diffSide struct {
	File   string `json:"file"`
	Lines  int64  `json:"records"`
	Failed int64  `json:"failed"`
	Hits   int64  `json:"hit_keys"`
	Tokens *int64 `json:"hit_tokens,omitempty"`
	Unmet  int64  `json:"unmet"`
}

func (c *traceDiffCommand) side(file string, s *replay.SideTotals, chunks int64) diffSide {
	side := diffSide{File: file, Lines: s.Lines, Failed: s.Failed, Hits: s.Hits, Unmet: s.Unmet}
	if c.ChunkTokens > 0 {
		tokens := chunks * c.ChunkTokens
		side.Tokens = &tokens
	}
	return side
}

// print prints the result.
func (c *traceDiffCommand) print(w io.Writer, d *replay.Difference) error {
	a, b := c.side(c.A, &d.A, d.RecordedChunks), c.side(c.B, &d.B, d.ReplayedChunks)
	if c.JSON {
		return printJSON(w, map[string]any{"a": a, "b": b, "compared": d.Compared, "diverged": d.Diverged, "by_kind": kinds(&d.Comparison), "first": d.First})
	}
	t := cli.NewReport("Trace Diff", cli.WidthWide)
	t.Line("a", "A", c.A)
	t.Line("b", "B", c.B)
	if d.First == nil {
		t.Line("first", "First difference", "none")
	} else {
		t.LineText("first", "First difference", d.First.Between(), d.First)
	}
	t.Section("divergence", "Outcomes")
	comparisonLines(t, &d.Comparison, "Compared", "Different")
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	table := cli.Table{Head: []string{"", "A", "B"}, Rows: [][]string{
		{"Records", n(a.Lines), n(b.Lines)},
		{"Failed calls", n(a.Failed), n(b.Failed)},
		{"Prefix-hit keys", n(a.Hits), n(b.Hits)},
	}}
	if a.Tokens != nil {
		table.Rows = append(table.Rows, []string{"Prefix-hit tokens", n(*a.Tokens), n(*b.Tokens)})
	}
	if a.Unmet+b.Unmet > 0 {
		table.Rows = append(table.Rows, []string{"Outcomes without counterpart", n(a.Unmet), n(b.Unmet)})
	}
	_, err := io.WriteString(w, t.Text()+"\n"+table.Text())
	return err
}
