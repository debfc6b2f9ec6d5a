package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/replay"
)

// Files of a replay in --output-dir.
const (
	opsCSV      = "trace_replay_ops.csv"
	summaryJSON = "trace_replay_summary.json"
)

// checkFiles reports files that would be written over others.
func (c *traceReplayCommand) checkFiles(p *cli.Problems) {
	var files fileUses
	files.reads("FILE", c.Files...)
	if !c.NoCSV {
		name := opsCSV
		switch {
		case len(c.Sweep) > 0:
			name = sweepCSV
		case c.curve:
			name = curveCSV
		}
		files.writesIn("output-dir", c.Dir, name)
	}
	if c.Replay.JSON {
		files.writesIn("output-dir", c.Dir, summaryJSON)
	}
	files.writes("jsonl-out", c.JSONL)
	files.writes("divergence-out", c.DivergenceOut)
	files.writes("html", c.HTML)
	if c.Pacing != "virtual" {
		files.writes("request-log", c.RequestLog)
		if c.SpanOutput != "stdout" {
			files.writes("span-output", c.SpanOutput)
		}
	}
	files.check(p)
}

// replayFiles are the files that a replay writes. They are there before it begins.
type replayFiles struct {
	dir      string
	keys     bool  // lines have them
	chunk    int64 // tokens of a chunk of the recording, which the first line tells; 0: not known, or told
	jsonl    *lineFile
	diverged divergences
}

// openReplayFiles makes what can be made before the run, so that a run is not in
// vain.
func openReplayFiles(f *flags.Replay) (*replayFiles, error) {
	out := &replayFiles{dir: f.Dir, keys: f.Keys}
	if err := writableOutputs(f.Dir, !f.NoCSV || f.JSON, f.HTML); err != nil {
		return nil, err
	}
	var err error
	if out.diverged, err = openDivergences(f.DivergenceOut); err != nil {
		return nil, err
	}
	if out.jsonl, err = createLines("--jsonl-out", f.JSONL); err != nil {
		return nil, errors.Join(err, out.diverged.close())
	}
	return out, nil
}

// told is what hears of lines that are complete; nil if nobody reads them.
func (o *replayFiles) told() func(replay.Line) {
	if o.jsonl.f == nil {
		return nil
	}
	return func(l replay.Line) {
		l.ChunkTokens, o.chunk = o.chunk, 0
		o.jsonl.write(func(b []byte) ([]byte, error) { return replay.AppendLine(b, &l, o.keys) })
	}
}

func (o *replayFiles) close() error { return errors.Join(o.diverged.close(), o.jsonl.close()) }

// results writes the files of a run and prints its table.
func (c *traceReplayCommand) results(std *cli.IO, log *slog.Logger, out *replayFiles, r *replay.Result, d configDigest) error {
	if !c.NoCSV {
		path := filepath.Join(out.dir, opsCSV)
		if err := cli.WriteFile(path, replayCSV(r)); err != nil {
			return err
		}
		log.Info("CSV written to " + path)
	}
	if c.Replay.JSON {
		path := filepath.Join(out.dir, summaryJSON)
		data, err := replayJSON(r, d, c.modelTexts())
		if err != nil {
			return err
		}
		if err := cli.WriteFile(path, data); err != nil {
			return err
		}
		log.Info("JSON written to " + path)
	}
	if c.Replay.Quiet {
		return nil
	}
	_, err := io.WriteString(std.Stdout, replayReport(r, d, c.modelTexts()).Text())
	return err
}

// opNames are the names of the calls in order.
func opNames(r *replay.Result) (names []string) {
	for name := range r.Ops {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func replayCSV(r *replay.Result) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"qualname", "count", "errors", "mean_ms", "p50_ms", "p90_ms", "p99_ms", "min_ms", "max_ms"}}
	for _, name := range opNames(r) {
		op := r.Ops[name]
		row := []string{name, strconv.Itoa(op.Count()), strconv.FormatInt(op.Errors, 10)}
		m := op.Milliseconds()
		for _, v := range []float64{m.Mean, m.P50, m.P90, m.P99, m.Min, m.Max} {
			row = append(row, strconv.FormatFloat(v, 'f', 6, 64))
		}
		rows = append(rows, row)
	}
	_ = w.WriteAll(rows) // a buffer takes everything
	return b.Bytes()
}

// replayJSON is the summary; encoding/json sorts the keys of maps.
func replayJSON(r *replay.Result, d configDigest, models []string) ([]byte, error) {
	ops := make(map[string]any)
	for _, name := range opNames(r) {
		op := r.Ops[name]
		m := op.Milliseconds()
		ops[name] = map[string]any{
			"count": op.Count(), "errors": op.Errors,
			"mean_ms": m.Mean, "p50_ms": m.P50, "p90_ms": m.P90, "p99_ms": m.P99, "min_ms": m.Min, "max_ms": m.Max,
		}
	}
	v := map[string]any{"duration_s": r.Duration.Seconds(), "ops": ops}
	if r.Requested > 0 {
		v["hits"] = map[string]any{
			"lookups": r.Lookups, "requested_keys": r.Requested, "hit_keys": r.Hits, "hit_ratio": r.HitRatio(),
			"reads": r.Reads, "read_misses": r.Misses,
		}
	}
	if d.recorded != "" {
		v["digest"] = map[string]any{"recorded": d.recorded, "run": d.here, "match": !d.mismatch()}
	}
	if r.Virtual && len(models) > 0 {
		v["l2_models"] = models
	}
	if r.OutcomeDigest != "" {
		v["outcome_digest"] = r.OutcomeDigest
	}
	if r.Compared > 0 {
		diverged := map[string]any{"compared": r.Compared, "diverged": r.Diverged, "by_kind": kinds(&r.Comparison), "first": r.First, "unmet": r.Unmet}
		if d.chunkTokens > 0 {
			diverged["hit_tokens_recorded"], diverged["hit_tokens_replayed"] = r.RecordedChunks*d.chunkTokens, r.ReplayedChunks*d.chunkTokens
		}
		v["divergence"] = diverged
	}
	if r.Late != (replay.Late{}) {
		v["late"] = map[string]any{"p99_ms": milliseconds(r.Late.P99), "max_ms": milliseconds(r.Late.Max)}
	}
	if r.Interrupted {
		v["interrupted"] = true
	}
	if r.Gaps > 0 {
		v["gaps"] = map[string]any{"count": r.Gaps, "lost_calls": r.Lost}
	}
	data, err := json.MarshalIndent(v, "", "  ")
	return append(data, '\n'), err
}

// virtualSection says what a replay in virtual time knows.
func virtualSection(t *cli.Report, r *replay.Result, models []string) {
	if !r.Virtual {
		return
	}
	t.Section("virtual", "Virtual Time")
	t.Line("virtual_s", "Virtual time (s)", r.VirtualTime.Seconds())
	for i, text := range models {
		t.Line("l2_model_"+strconv.Itoa(i), "Model of L2 adapter "+strconv.Itoa(i+1), text)
	}
	if r.L2Read > 0 || r.L2Written > 0 {
		t.Line("l1_hits", "Hit keys in L1", r.L1Hits)
		t.Line("l2_written", "Bytes written to L2", r.L2Written)
		t.Line("l2_read", "Bytes read from L2", r.L2Read)
		t.Line("wait_p50_ms", "Lookup wait p50 (ms)", float64(r.Wait(50).Microseconds())/1000)
		t.Line("wait_p99_ms", "Lookup wait p99 (ms)", float64(r.Wait(99).Microseconds())/1000)
	}
	t.Line("evicted", "Evicted keys", r.Evicted)
	t.LineText("outcome_digest", "Outcome digest", r.OutcomeDigest[:16], r.OutcomeDigest)
}

// divergenceSection is how far the outcomes are the recorded ones.
func divergenceSection(t *cli.Report, r *replay.Result, d configDigest) {
	if r.Compared == 0 {
		return
	}
	t.Section("divergence", "Divergence")
	comparisonLines(t, &r.Comparison, "Outcomes compared", "Not as recorded")
	if d.chunkTokens > 0 && r.RecordedChunks+r.ReplayedChunks > 0 {
		t.Line("hit_tokens_recorded", "Prefix-hit tokens recorded", r.RecordedChunks*d.chunkTokens)
		t.Line("hit_tokens_replayed", "Prefix-hit tokens replayed", r.ReplayedChunks*d.chunkTokens)
	}
	if r.First != nil {
		t.LineText("first", "First", r.First.String(), r.First)
	}
}

// kinds are divergences by kind; there may be none, but not null.
func kinds(c *replay.Comparison) map[string]int64 {
	if c.Divergences == nil {
		return map[string]int64{}
	}
	return c.Divergences
}

func comparisonLines(t *cli.Report, c *replay.Comparison, compared, diverged string) {
	t.Line("compared", compared, c.Compared)
	t.Line("diverged", diverged, c.Diverged)
	for _, kind := range slices.Sorted(maps.Keys(c.Divergences)) {
		t.Line("diverged_"+kind, "  "+strings.ReplaceAll(kind, "_", " "), c.Divergences[kind])
	}
}

// shortName is the last part of a qualified name; the pair of a read scope keeps
// what it belongs to.
func shortName(qualname string) string {
	switch strings.TrimPrefix(qualname, storage.NamePrefix) {
	case storage.CallReadEnter:
		return "read_prefetched_results.enter"
	case storage.CallReadExit:
		return "read_prefetched_results.exit"
	}
	return qualname[strings.LastIndexByte(qualname, '.')+1:]
}

// replayReport is the result for people.
func replayReport(r *replay.Result, d configDigest, models []string) *cli.Report {
	t := cli.NewReport("Trace Replay Result", cli.WidthWide)
	t.Section("overall", "Overall")
	t.Line("level", "Trace level", trace.LevelStorage)
	t.Line("replayed", "Records replayed", r.Replayed)
	t.Line("skipped", "Records skipped", r.Skipped)
	t.Line("failed", "Records failed", r.Failed)
	t.Line("duration_s", "Replay duration (s)", r.Duration.Seconds())
	if text := d.text(); text != "" {
		t.Line("digest", "Config digest", text)
	}
	if r.Late != (replay.Late{}) {
		t.Line("late_p99_ms", "Calls were late by, p99 (ms)", milliseconds(r.Late.P99))
		t.Line("late_max_ms", "Calls were late by, max (ms)", milliseconds(r.Late.Max))
	}
	if r.Interrupted {
		t.Line("interrupted", "Interrupted", true)
	}
	t.Section("ops", "Per-Op Latency (ms)")
	for _, name := range opNames(r) {
		op, short := r.Ops[name], shortName(name)
		m := op.Milliseconds()
		t.Line(short+"_count", short+" count", op.Count())
		t.Line(short+"_mean", short+" mean", m.Mean)
		t.Line(short+"_p50", short+" p50", m.P50)
		t.Line(short+"_p99", short+" p99", m.P99)
	}
	if r.Requested > 0 {
		t.Section("hits", "Hits")
		t.Line("lookups", "Lookups", r.Lookups)
		t.Line("requested", "Requested keys", r.Requested)
		t.Line("hits", "Hit keys", r.Hits)
		t.LineText("hit_ratio", "Hit ratio", strconv.FormatFloat(r.HitRatio(), 'f', 4, 64), r.HitRatio())
		if r.Misses > 0 {
			t.Line("read_misses", "Reads that missed", r.Misses)
		}
	}
	virtualSection(t, r, models)
	divergenceSection(t, r, d)
	extra := []struct {
		key, label string
		n          int64
	}{
		{"own", "Other calls carried out", r.Own},
		{"aborts", "Reservations given up", r.Aborts},
		{"gaps", "Gaps", r.Gaps},
		{"lost", "Calls lost in gaps", r.Lost},
		{"malformed", "Malformed records", r.Malformed},
		{"unmatched", "Ends of reads without beginning", r.Unmatched},
		{"verify", "Objects with wrong bytes", r.VerifyFailures},
	}
	section := false
	for _, e := range extra {
		if e.n == 0 {
			continue
		}
		if !section {
			t.Section("recording", "Recording")
			section = true
		}
		t.Line(e.key, e.label, e.n)
	}
	return t
}
