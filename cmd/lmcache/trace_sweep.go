package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/replay"
)

// sweepCSV is the file of a sweep in --output-dir.
const sweepCSV = "trace_replay_sweep.csv"

// maxPoints is the most configurations of one sweep.
const maxPoints = 10_000

// axis is one flag of --sweep and its values.
type axis struct {
	flag   string
	values []string
}

// point is one configuration of a sweep: the flags of the command, some of them
// replaced.
type point struct {
	values []string // by axis
	l1     flags.L1
	l2     flags.L2
	result *replay.Result
}

// setters are the flags that may be swept: those of the storage manager that change
// what it decides.
func setters() map[string]func(*point, string) error {
	part := func(to func(*point) *float64, zero bool, bounds string) func(*point, string) error {
		return func(p *point, text string) error {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil || !(v > 0 && v <= 1 || zero && v == 0) {
				return fmt.Errorf("must be a number %s, got %q", bounds, text)
			}
			*to(p) = v
			return nil
		}
	}
	choice := func(to func(*point) *string, choices ...string) func(*point, string) error {
		return func(p *point, text string) error {
			if !slices.Contains(choices, text) {
				return fmt.Errorf("must be one of %s, got %q", strings.Join(choices, ", "), text)
			}
			*to(p) = text
			return nil
		}
	}
	return map[string]func(*point, string) error{
		"l1-size-gb": func(p *point, text string) (err error) {
			if p.l1.SizeGB, err = cli.ParseBytes(text, "GiB"); err == nil && p.l1.SizeGB <= 0 {
				err = fmt.Errorf("must be more than 0, got %q", text)
			}
			return err
		},
		"eviction-policy":            choice(func(p *point) *string { return &p.l1.Policy }, "LRU", "IsolatedLRU", "RecencyFrequency", "noop"),
		"eviction-mode":              choice(func(p *point) *string { return &p.l1.Mode }, "exact", "watermark"),
		"eviction-trigger-watermark": part(func(p *point) *float64 { return &p.l1.Watermark }, false, "above 0 and at most 1"),
		"eviction-ratio":             part(func(p *point) *float64 { return &p.l1.Ratio }, true, "from 0 to 1"),
		"l2-store-policy":            choice(func(p *point) *string { return &p.l2.StorePolicy }, "default", "skip_l1"),
		"l2-prefetch-policy":         choice(func(p *point) *string { return &p.l2.PrefetchPolicy }, "default", "retain"),
		"l2-prefetch-max-in-flight": func(p *point, text string) error {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || n > 65536 {
				return fmt.Errorf("must be a whole number from 1 to 65536, got %q", text)
			}
			p.l2.PrefetchInFlight = n
			return nil
		},
	}
}

// checkSweep reads --sweep into the points of the product, and reports what is wrong.
func (c *traceReplayCommand) checkSweep(p *cli.Problems) {
	const flag = "sweep"
	known := setters()
	points := []point{{l1: c.L1, l2: c.tiers.L2}}
	for _, text := range c.Sweep {
		name, list, ok := strings.Cut(text, "=")
		name = strings.TrimPrefix(strings.TrimSpace(name), "--")
		set := known[name]
		switch {
		case !ok || strings.TrimSpace(list) == "":
			p.Flag(flag, "%q: must be FLAG=VALUE,VALUE,…", text)
			return
		case set == nil:
			p.Flag(flag, "%q cannot be swept; these can: %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
			return
		case strings.HasPrefix(name, "l2-") && len(c.Configs) == 0:
			p.Flag(flag, "%s has no effect without --l2-adapter", name)
			return
		case c.swept(name):
			p.Flag(flag, "%s is there twice: all its values belong into one list", name)
			return
		}
		a := axis{flag: name, values: strings.Split(list, ",")}
		if len(points)*len(a.values) > maxPoints {
			p.Flag(flag, "more than %d configurations", maxPoints)
			return
		}
		var next []point
		for _, pt := range points {
			for i, v := range a.values {
				v = strings.TrimSpace(v)
				a.values[i] = v
				q := pt
				q.values = append(slices.Clip(pt.values), v)
				if err := set(&q, v); err != nil {
					p.Flag(flag, "%s: %v", name, err)
					return
				}
				next = append(next, q)
			}
		}
		points = next
		c.axes = append(c.axes, a)
	}
	c.points = points
	c.checkPoints(p)
}

// swept reports whether a flag is an axis.
func (c *traceReplayCommand) swept(flag string) bool {
	return slices.ContainsFunc(c.axes, func(a axis) bool { return a.flag == flag })
}

// checkPoints finds the modes of eviction as for the flags alone, and reports the first
// point that no machine could replay.
func (c *traceReplayCommand) checkPoints(p *cli.Problems) {
	const flag = "sweep"
	modeSwept := c.swept("eviction-mode")
	watermark := func(pt point) bool { return pt.l1.Mode == string(l1.ModeWatermark) }
	var given []string // what has to take effect at every point
	for _, name := range flags.WatermarkFlags() {
		switch {
		case c.swept(name) || !modeSwept && p.IsSet(name):
			given = append(given, name)
		case modeSwept && p.IsSet(name) && !slices.ContainsFunc(c.points, watermark):
			p.Flag(name, "takes effect with --eviction-mode %s only, which is not swept", l1.ModeWatermark)
		}
	}
	sound := p.Err() == nil // what is wrong with the flags is wrong at every point
	for i := range c.points {
		pt := &c.points[i]
		if !modeSwept && !p.IsSet("eviction-mode") {
			pt.l1.Mode = ""
		}
		pt.l1.SettleEviction(given, func(name, format string, args ...any) {
			p.Flag(flag, "%s: --%s %s", c.describe(pt), name, fmt.Sprintf(format, args...))
		})
		if p.IsBad(flag) || !sound {
			return
		}
		if err := (storage.Options{L1: l1Options(&pt.l1)}).Validate(); err != nil {
			p.Flag(flag, "%s: %v", c.describe(pt), err)
			return
		}
	}
}

// sweep replays the recording under every configuration, several at a time, and writes
// what came of it.
func (c *traceReplayCommand) sweep(ctx context.Context, std *cli.IO, log *slog.Logger, f *trace.File, calls int64, out *replayFiles) error {
	display := &cli.Output{Quiet: c.Replay.Quiet, NoProgress: c.NoProgress}
	tape, err := readTape(std, display, log, f, calls)
	if err != nil {
		return err
	}
	begin := time.Now()
	bar := display.Progress(std, "Sweeping", int64(len(c.points)))
	err = c.replayPoints(ctx, tape, bar.Set)
	bar.Close()
	if err != nil {
		return err
	}
	slices.SortStableFunc(c.points, func(a, b point) int { return cmpRatio(b.result, a.result) })
	if !c.NoCSV {
		path := filepath.Join(out.dir, sweepCSV)
		if err := cli.WriteFile(path, c.sweepTableCSV()); err != nil {
			return err
		}
		log.Info("CSV written to " + path)
	}
	if c.HTML != "" {
		s, err := c.sweepPage(ctx, f, tape)
		if err != nil {
			return fmt.Errorf("--html: %w", err)
		}
		if err := writePage(c.HTML, s.page()); err != nil {
			return err
		}
		log.Info("HTML written to " + c.HTML)
	}
	if !c.Replay.Quiet {
		if _, err := io.WriteString(std.Stdout, c.sweepTable(time.Since(begin))); err != nil {
			return err
		}
	}
	if c.Strict {
		return strictSweep(c.points[0].result)
	}
	return nil
}

// strictSweep is what --strict forbids in the recording. It is the same at all points.
func strictSweep(r *replay.Result) error {
	if r.Gaps+r.Skipped+r.Malformed+r.Unmatched == 0 {
		return nil
	}
	return fmt.Errorf("--strict: %d gaps, %d skipped and %d malformed records, %d ends of reads without a beginning", r.Gaps, r.Skipped, r.Malformed, r.Unmatched)
}

func cmpRatio(a, b *replay.Result) int {
	switch x, y := a.HitRatio(), b.HitRatio(); {
	case x < y || math.IsNaN(x) && !math.IsNaN(y):
		return -1
	case x > y:
		return 1
	}
	return 0
}

// replayPoints replays all points with as many goroutines as --parallel says.
func (c *traceReplayCommand) replayPoints(ctx context.Context, tape *replay.Tape, done func(int64)) error {
	workers := c.Parallel
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var errs []error
	next, finished := 0, int64(0)
	for range min(workers, len(c.points)) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				stop := len(errs) > 0 || ctx.Err() != nil
				mu.Unlock()
				if stop || i >= len(c.points) {
					return
				}
				r, err := c.one(ctx, tape, &c.points[i])
				mu.Lock()
				c.points[i].result = r
				if err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", c.describe(&c.points[i]), err))
				}
				finished++
				done(finished)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.Join(errs...)
}

// describe names a point by the flags that are swept.
func (c *traceReplayCommand) describe(p *point) string {
	parts := make([]string, len(c.axes))
	for i, a := range c.axes {
		parts[i] = "--" + a.flag + " " + p.values[i]
	}
	return strings.Join(parts, " ")
}

// options are those of the storage manager of a point.
func (c *traceReplayCommand) options(p *point) (storage.Options, error) {
	so := storage.Options{L1: l1Options(&p.l1)}
	t := tiers{L2: p.l2, Configs: c.Configs}
	err := t.modelled(&so)
	return so, err
}

// one replays one point.
func (c *traceReplayCommand) one(ctx context.Context, tape *replay.Tape, p *point) (*replay.Result, error) {
	so, err := c.options(p)
	if err != nil {
		return nil, err
	}
	return tape.Virtual(ctx, replay.VirtualOptions{
		Storage: so, Models: c.models, Seed: c.Seed, From: c.From, To: c.To, NoCompare: true,
	})
}

// sweepColumns are the columns behind those of the flags.
func sweepColumns() []string {
	return []string{
		"lookups", "requested_keys", "hit_keys", "l1_hit_keys", "l2_hit_keys", "hit_ratio", "evicted_keys",
		"l2_written_bytes", "l2_read_bytes", "p50_wait_ms", "p99_wait_ms", "outcome_digest",
	}
}

func (c *traceReplayCommand) sweepRow(p *point) []string {
	r := p.result
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	ms := func(percent int) string {
		return strconv.FormatFloat(float64(r.Wait(percent).Nanoseconds())/1e6, 'f', 3, 64)
	}
	ratio := "" // without lookups there is none
	if r.Requested > 0 {
		ratio = strconv.FormatFloat(r.HitRatio(), 'f', 6, 64)
	}
	return append(slices.Clone(p.values),
		n(r.Lookups), n(r.Requested), n(r.Hits), n(r.L1Hits), n(r.Hits-r.L1Hits), ratio, n(r.Evicted),
		n(r.L2Written), n(r.L2Read), ms(50), ms(99), r.OutcomeDigest)
}

func (c *traceReplayCommand) header() (names []string) {
	for _, a := range c.axes {
		names = append(names, a.flag)
	}
	return append(names, sweepColumns()...)
}

func (c *traceReplayCommand) sweepTableCSV() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{c.header()}
	for i := range c.points {
		rows = append(rows, c.sweepRow(&c.points[i]))
	}
	_ = w.WriteAll(rows) // a buffer takes everything
	return b.Bytes()
}

// shows reports whether a column says something: those of tiers only where there are some.
func (c *traceReplayCommand) shows(name string) bool {
	return len(c.Configs) > 0 || !strings.HasPrefix(name, "l2_") && !strings.HasSuffix(name, "_wait_ms") && name != "l1_hit_keys"
}

// sweepTable is the result for people: what differs, best first.
func (c *traceReplayCommand) sweepTable(took time.Duration) string {
	pick := func(row []string) (cells []string) {
		for i, name := range c.header() {
			if name != "outcome_digest" && c.shows(name) {
				cells = append(cells, row[i])
			}
		}
		return cells
	}
	t := cli.Table{Head: pick(c.header())}
	for i := range c.points {
		t.Rows = append(t.Rows, pick(c.sweepRow(&c.points[i])))
	}
	return t.Text() + fmt.Sprintf("%d configurations in %.2f s\n", len(c.points), took.Seconds())
}
