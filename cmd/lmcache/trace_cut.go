package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/trace"
)

// traceCutCommand is "lmcache trace cut".
type traceCutCommand struct {
	flags.Cut
}

// Help is the text before the examples.
func (*traceCutCommand) Help() string {
	return "Offsets and call numbers of the part count from its beginning, wall clock times stay. Calls on leases that were opened before are left out, " +
		"where the recording says who opened them; in a plain one they stay, and a replay finds nothing to give back. Leases that are open at the end are given back by a replay."
}

// Examples implements cli.Helper.
func (*traceCutCommand) Examples() []string {
	return []string{
		"lmcache trace cut run.lct --from 0.01 --output part.lct",
		"lmcache trace cut run.lct run-0001.lct --from 0.005 --to 60 --output part.lct --json",
	}
}

// Check implements cli.Checker.
func (c *traceCutCommand) Check(p *cli.Problems) {
	c.Cut.Check(p)
	if len(c.Files) > 1 { // one file is replaced by its part at the end
		var files fileUses
		files.reads("FILE", c.Files...)
		files.writes("output", c.Output)
		files.check(p)
	}
}

// Run implements cli.Command.
func (c *traceCutCommand) Run(ctx context.Context, std *cli.IO) error {
	f, err := trace.OpenFile(c.Files...)
	if err != nil {
		return fileError(err)
	}
	var r trace.CutResult
	err = replaceFile(c.Output, std.Stdout, func(w io.Writer) (err error) {
		r, err = trace.Cut(&interruptedWriter{ctx, w}, f, trace.CutOptions{From: c.From, To: c.To, Name: "lmcache-go/" + readBuild().Version, Warn: warnDamage(std.Stderr)})
		return err
	})
	if err == nil && r.Calls == 0 {
		cli.Warn(std.Stderr, fmt.Sprintf("%s has no calls from %v s on%s", traceName(f.Paths), c.From, before(c.To)))
	}
	switch {
	case err != nil:
		return err
	case c.Quiet || c.Output == "-":
		return nil
	case c.JSON:
		return printJSON(std.Stdout, map[string]any{
			"output": c.Output, "calls": r.Calls, "left_out": r.Orphans, "gaps": r.Gaps, "lost_calls": r.Lost, "duration_s": r.Seconds,
		})
	}
	t := cli.NewReport("Trace Cut", cli.WidthWide)
	t.Line("output", "File", c.Output)
	t.Line("calls", "Calls", r.Calls)
	t.LineText("duration", "Last call at (s)", strconv.FormatFloat(r.Seconds, 'f', 3, 64), r.Seconds)
	if r.Extended {
		t.Line("left_out", "Left out, on leases from before", r.Orphans)
	}
	if r.Gaps > 0 {
		t.Line("lost", "Calls that the recording lost", r.Lost)
	}
	_, err = io.WriteString(std.Stdout, t.Text())
	return err
}

// before is the end of a range of seconds, if it has one.
func before(to float64) string {
	if to == 0 {
		return ""
	}
	return fmt.Sprintf(" and before %v s", to)
}

// interruptedWriter fails when its context has ended.
type interruptedWriter struct {
	ctx context.Context //nolint:containedctx // it ends the writing, as of a file that is interrupted
	w   io.Writer
}

func (w *interruptedWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}

// printJSON prints one document.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// replaceFile writes a file of any size in one step: until it is whole, what was there
// stays. Recordings name tenants and models, so others cannot read it. What is not a
// regular file is written to in place, and - is stdout.
func replaceFile(path string, stdout io.Writer, write func(io.Writer) error) (err error) {
	if path == "-" {
		return buffered(stdout, write)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("--output: %w", err)
		}
		return errors.Join(buffered(f, write), f.Close())
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	err = buffered(tmp, write)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
