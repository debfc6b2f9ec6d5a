package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/curve"
	"github.com/lmcache-go/lmcache/trace/replay"
)

// curveCSV is the file of the curves in --output-dir.
const curveCSV = "trace_replay_mrc.csv"

// traceMRCCommand is "lmcache trace mrc".
type traceMRCCommand struct {
	flags.Curve
}

// Help is the text before the examples.
func (*traceMRCCommand) Help() string {
	return "Answers from one recording what L1 of other sizes would have found: LRU-ideal is exact LRU, computed for all sizes at once; the policies " +
		"are the cache itself, run in virtual time without memory; Belady knows the future, and no policy is better. " +
		"A hit is a chunk of a lookup that is there together with all chunks before it."
}

// Examples implements cli.Helper.
func (*traceMRCCommand) Examples() []string {
	return []string{
		"lmcache trace mrc run.lct --html curve.html",
		"lmcache trace mrc run.lct --sizes 256MiB,512MiB,inf --eviction-policy LRU --no-csv --json",
	}
}

// Check implements cli.Checker.
func (c *traceMRCCommand) Check(p *cli.Problems) {
	c.Curve.Check(p)
	var files fileUses
	files.reads("FILE", c.Files...)
	if !c.NoCSV {
		files.writesIn("output-dir", c.Dir, curveCSV)
	}
	files.writes("html", c.HTML)
	files.check(p)
}

// Run implements cli.Command.
func (c *traceMRCCommand) Run(ctx context.Context, std *cli.IO) error {
	f, err := trace.OpenFile(c.Files...)
	if err != nil {
		return fileError(err)
	}
	h := f.Header()
	if err := replay.CheckHeader(&h, f.Paths[0]); err != nil {
		return err
	}
	if err := writableOutputs(c.Dir, !c.NoCSV, c.HTML); err != nil {
		return err
	}
	w, err := curve.Load(&h, until(ctx, f.Records()), curve.LoadOptions{Sample: c.Sample, Warn: warnDamage(std.Stderr)})
	if err != nil {
		return err
	}
	if w.Requests == 0 {
		return fmt.Errorf("trace '%s' has no lookups: there is nothing to compute", traceName(f.Paths))
	}
	o := curve.Options{Sizes: c.Bytes, Policies: c.policies(w.Config), Parallel: c.Parallel}
	if len(o.Sizes) == 0 {
		o.Sizes = w.DefaultSizes(c.base(w))
	}
	end := c.showProgress(std, &o)
	r, err := w.Run(ctx, o)
	end()
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return c.results(std, &curveResult{paths: f.Paths, header: h, w: w, r: r, sample: c.Sample})
}

// until is records up to the end of ctx, which is an error then.
func until(ctx context.Context, records iter.Seq2[trace.Record, error]) iter.Seq2[trace.Record, error] {
	return func(yield func(trace.Record, error) bool) {
		for r, err := range records {
			if ctx.Err() != nil {
				yield(trace.Record{}, ctx.Err())
				return
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// base is what the default sizes are parts and multiples of.
func (c *traceMRCCommand) base(w *curve.Workload) int64 {
	if c.Base > 0 {
		return int64(c.Base)
	}
	return w.Config.Bytes
}

// writableOutputs makes the directories of --output-dir, if anything goes there, and of
// --html before the run, so that a run is not in vain.
func writableOutputs(dir string, used bool, html string) error {
	if used {
		if err := writableDir(dir); err != nil {
			return fmt.Errorf("--output-dir: %w", err)
		}
	}
	if html != "" {
		if err := writableDir(filepath.Dir(html)); err != nil {
			return fmt.Errorf("--html: %w", err)
		}
	}
	return nil
}

// writableDir makes a directory and tries whether files can be made in it.
func writableDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // results are for everybody
		return err
	}
	probe, err := os.CreateTemp(dir, ".lmcache-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// policies are those that the cache is run with.
func (c *traceMRCCommand) policies(recorded curve.Config) (list []curve.Policy) {
	names := c.Names
	if len(names) == 0 {
		names = []string{"LRU", "RecencyFrequency"}
	}
	for _, name := range names {
		p := curve.Policy{Name: name, Mode: l1.Mode(c.Mode)}
		if p.Mode == l1.ModeWatermark {
			p.Watermark, p.EvictionRatio = c.Watermark, ratioOption(c.Ratio)
		}
		list = append(list, p)
	}
	if p := recorded.Policy; len(c.Names) == 0 && c.Mode == "" && p.Supported() && p.Name != "noop" {
		list = append(list, p)
	}
	return list
}

// showProgress has a display follow the run. The result ends it.
func (c *traceMRCCommand) showProgress(std *cli.IO, o *curve.Options) (end func()) {
	display := &cli.Output{Quiet: c.Quiet, NoProgress: c.NoProgress}
	var once sync.Once
	var bar *cli.Progress
	o.Progress = func(done, total int64) {
		once.Do(func() { bar = display.Progress(std, "Computing", total) })
		bar.Set(done)
	}
	return func() { bar.Close() }
}

// results writes the files and prints the table.
func (c *traceMRCCommand) results(std *cli.IO, r *curveResult) error {
	if !c.NoCSV {
		if err := cli.WriteFile(filepath.Join(c.Dir, curveCSV), r.r.CSV()); err != nil {
			return err
		}
	}
	if c.HTML != "" {
		if err := writePage(c.HTML, r.page()); err != nil {
			return err
		}
	}
	if c.Quiet {
		return nil
	}
	if c.JSON {
		return printJSON(std.Stdout, r.json())
	}
	_, err := io.WriteString(std.Stdout, r.text())
	return err
}

// curveResult is the curves of a recording, and where they come from.
type curveResult struct {
	paths  []string
	header trace.Header
	w      *curve.Workload
	r      *curve.Result
	sample float64
}

// ratioText is how a ratio is shown.
func ratioText(v float64) string { return strconv.FormatFloat(v, 'f', 4, 64) }

// sizeText is how a size of L1 is shown.
func sizeText(bytes int64) string {
	if bytes == curve.Infinite {
		return "infinite"
	}
	return cli.Bytes(bytes).String()
}

// recorded is the point of the configuration that was recorded: what the recording
// itself says, else what was computed for it. ok is false if neither is known.
func (c *curveResult) recorded() (ratio float64, measured, ok bool) {
	if c.w.Config.Bytes == 0 {
		return 0, false, false
	}
	if c.w.MeasuredKeys > 0 {
		return float64(c.w.MeasuredHits) / float64(c.w.MeasuredKeys), true, true
	}
	row, ok := c.r.At(c.w.Config.Bytes, c.w.Config.Policy.String())
	return row.HitRatio, false, ok
}

// recordedText says what was recorded, and how well it did.
func (c *curveResult) recordedText() string {
	if c.w.Config.Bytes == 0 {
		return "not in the recording"
	}
	text := configText(&c.w.Config)
	switch ratio, measured, ok := c.recorded(); {
	case measured:
		text += ": " + ratioText(ratio) + " measured"
	case ok:
		text += ": " + ratioText(ratio) + " computed"
	}
	return text
}

// tables are the hit ratios by size and policy, and, if objects have several sizes,
// those of bytes.
func (c *curveResult) tables() (hits cli.Table, bytes *cli.Table) {
	hits.Head = append([]string{"L1 size"}, c.r.Policies...)
	var b cli.Table
	b.Head = hits.Head
	for _, size := range c.r.Sizes {
		h, v := []string{sizeText(size)}, []string{sizeText(size)}
		for _, p := range c.r.Policies {
			row, _ := c.r.At(size, p)
			h, v = append(h, ratioText(row.HitRatio)), append(v, ratioText(row.ByteHitRatio))
		}
		hits.Rows, b.Rows = append(hits.Rows, h), append(b.Rows, v)
	}
	if c.w.OneSize {
		return hits, nil
	}
	return hits, &b
}

// text is the result for people.
func (c *curveResult) text() string {
	t := cli.NewReport("Miss-Ratio Curve", cli.WidthWide)
	t.Line("file", "Recording", traceName(c.paths))
	for _, f := range c.facts() {
		t.Line("", f.Name, f.Value)
	}
	hits, bytes := c.tables()
	text := t.Text() + "\nHit ratio\n\n" + hits.Text()
	if bytes != nil {
		text += "\nHit ratio of bytes\n\n" + bytes.Text()
	}
	return text
}

// curveJSON is the result for programs.
type curveJSON struct {
	Files    []string     `json:"files"`
	Digest   string       `json:"sm_config_digest"`
	Seconds  float64      `json:"duration_s"`
	Lookups  int64        `json:"lookups"`
	Keys     int64        `json:"requested_keys"`
	Unique   int64        `json:"unique_keys"`
	Bytes    int64        `json:"unique_bytes"`
	Sample   float64      `json:"sample"`
	Recorded *recordedRow `json:"recorded"`
	Rows     []curveRow   `json:"rows"`
}

type recordedRow struct {
	Size     int64    `json:"size_bytes"`
	Policy   string   `json:"policy"`
	HitRatio *float64 `json:"hit_ratio"`
	Measured bool     `json:"measured"`
}

type curveRow struct {
	Size     *int64  `json:"size_bytes"` // null: infinite
	Policy   string  `json:"policy"`
	Hits     float64 `json:"hit_ratio"`
	ByteHits float64 `json:"byte_hit_ratio"`
}

func (c *curveResult) json() *curveJSON {
	v := &curveJSON{
		Files: c.paths, Digest: c.header.Digest, Seconds: c.w.Seconds, Lookups: c.w.Requests, Keys: c.w.Keys,
		Unique: c.w.Unique, Bytes: c.w.Size, Sample: c.sample,
	}
	if c.w.Config.Bytes > 0 {
		ratio, measured, ok := c.recorded()
		v.Recorded = &recordedRow{Size: c.w.Config.Bytes, Policy: c.w.Config.Policy.String(), Measured: measured}
		if ok {
			ratio = sixDecimals(ratio)
			v.Recorded.HitRatio = &ratio
		}
	}
	for _, row := range c.r.Rows {
		out := curveRow{Policy: row.Policy, Hits: sixDecimals(row.HitRatio), ByteHits: sixDecimals(row.ByteHitRatio)}
		if row.Bytes != curve.Infinite {
			out.Size = &row.Bytes
		}
		v.Rows = append(v.Rows, out)
	}
	return v
}

// sixDecimals rounds as the CSV does.
func sixDecimals(v float64) float64 { return math.Round(v*1e6) / 1e6 }
