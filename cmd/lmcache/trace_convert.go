package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/internal/mooncake"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/convert"
)

// traceConvertCommand is "lmcache trace convert".
type traceConvertCommand struct {
	flags.Convert

	chunkGiven bool
}

// Help is the text before the examples.
func (*traceConvertCommand) Help() string {
	return "Requests become a recording whose replay, on a cache of any size, finds, writes and evicts what the engine would have: each prompt is looked up " +
		"and then written, which stores what is missing. A recording becomes requests, one for each lookup; which of the two is given is seen from the file."
}

// Examples implements cli.Helper.
func (*traceConvertCommand) Examples() []string {
	return []string{
		"lmcache trace convert --limit 20 --output built-in.lct",
		"lmcache trace convert run.lct --output run.jsonl",
	}
}

// Check implements cli.Checker.
func (c *traceConvertCommand) Check(p *cli.Problems) {
	c.Convert.Check(p)
	if c.File != "" {
		var files fileUses
		files.reads("FILE", c.File)
		files.writes("output", c.Output)
		files.check(p)
	}
	c.chunkGiven = p.IsSet("chunk-size")
}

// Run implements cli.Command.
func (c *traceConvertCommand) Run(ctx context.Context, std *cli.IO) (err error) {
	in, size, name := std.Stdin, int64(0), "-"
	switch c.File {
	case "":
		in, name = mooncake.Builtin(), mooncake.BuiltinName
	case "-":
	default:
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if info, err := f.Stat(); err == nil {
			size = info.Size()
		}
		in, name = f, c.File
	}
	display := &cli.Output{Quiet: c.Quiet, NoProgress: c.NoProgress}
	bar := display.Progress(std, "Converting", size)
	b := bufio.NewReader(&countedReader{ctx: ctx, r: in, bar: bar})
	first, _ := b.Peek(1)
	recording := len(first) == 1 && first[0] == 0 // the length of a header is never near 2^24
	if recording && len(c.OnlyRequests) > 0 {
		p := cli.NewProblems()
		for _, flag := range c.OnlyRequests {
			p.Flag(flag, "means nothing for a recording, which %s is", name)
		}
		return p
	}
	var r convert.Result
	err = replaceFile(c.Output, std.Stdout, func(w io.Writer) (err error) {
		if recording {
			r, err = c.toRequests(w, b, std)
		} else {
			r, err = convert.FromRequests(w, b, c.options())
		}
		if err == nil && r.Requests+r.Skipped == 0 {
			err = errors.New("there are no requests in it")
		}
		return err
	})
	bar.Close()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	case c.Quiet || c.Output == "-":
		return nil
	case c.JSON:
		return printJSON(std.Stdout, map[string]any{
			"input": name, "output": c.Output, "requests": r.Requests, "chunks": r.Chunks, "calls": r.Calls, "skipped": r.Skipped,
		})
	}
	t := cli.NewReport("Trace Conversion", cli.WidthWide)
	t.Line("input", "Input", name)
	t.Line("output", "Output", c.Output)
	t.Line("requests", "Requests", r.Requests)
	t.Line("chunks", "Chunks of the requests", r.Chunks)
	t.Line("calls", "Calls of the recording", r.Calls)
	label := "Left out: shorter than a chunk"
	if recording {
		label = "Left out: repeated, other groups"
	}
	t.Line("skipped", label, r.Skipped)
	_, err = io.WriteString(std.Stdout, t.Text())
	return err
}

// options are those of a conversion of requests.
func (c *traceConvertCommand) options() convert.Options {
	o := convert.Options{
		BlockTokens: c.BlockTokens, ChunkTokens: c.ChunkSize, BytesPerToken: c.BytesPerToken, Model: c.Model, HashAlgorithm: c.HashAlgorithm,
		Reads: c.Reads, Limit: c.Limit, Name: "lmcache-go/" + readBuild().Version,
	}
	if c.TraceFormat == "plain" {
		o.Format = trace.Plain
	}
	if c.TraceArgs == "0.5.6" {
		o.Args = trace.Args056
	}
	return o
}

// toRequests converts a recording. The size of its chunks is in the header, if this
// project wrote it.
func (c *traceConvertCommand) toRequests(w io.Writer, r io.Reader, std *cli.IO) (convert.Result, error) {
	h, records, err := trace.Read(r)
	if err != nil { // it is named by the caller
		return convert.Result{}, errors.New(strings.TrimPrefix(err.Error(), "trace file '-': "))
	}
	tokens := c.ChunkSize
	var config struct {
		ChunkSize int `json:"chunk_size"`
	}
	if json.Unmarshal([]byte(h.Config), &config) == nil && config.ChunkSize > 0 && !c.chunkGiven {
		tokens = config.ChunkSize
	}
	return convert.ToRequests(w, records, tokens, warnDamage(std.Stderr))
}

// countedReader shows how much has been read, and ends with its context.
type countedReader struct {
	ctx context.Context //nolint:containedctx // it ends the reading, as of a file that is interrupted
	r   io.Reader
	bar *cli.Progress // nil: it is not shown
	n   int64
}

func (c *countedReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.bar.Set(c.n)
	return n, err
}

// buffered writes to a file in large pieces.
func buffered(f io.Writer, write func(io.Writer) error) error {
	b := bufio.NewWriterSize(f, 256<<10)
	if err := write(b); err != nil {
		return err
	}
	return b.Flush()
}
