package main

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// A sweep has a row for each configuration, the best first, and each row is what a
// replay of that configuration alone gives.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	lct := filepath.Join(dir, "run.lct")
	traced(t, cli.ExitOK, "bench", "workload", "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--concurrency", "1", "--limit", "150", "--quiet",
		"--trace-level", "storage", "--trace-output", lct)
	base := []string{"trace", "replay", lct, "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--output-dir", dir, "--no-progress"}
	out, _ := traced(t, cli.ExitOK, append(base, "--sweep", "l1-size-gb=64MiB,128MiB,1", "--sweep", "eviction-policy=LRU,noop", "--parallel", "2")...)
	f, err := os.Open(filepath.Join(dir, "trace_replay_sweep.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 7 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	column := func(name string) int { return slices.Index(rows[0], name) }
	want := "l1-size-gb,eviction-policy,lookups,requested_keys,hit_keys,l1_hit_keys,l2_hit_keys,hit_ratio,evicted_keys,l2_written_bytes,l2_read_bytes,p50_wait_ms,p99_wait_ms,outcome_digest"
	if got := strings.Join(rows[0], ","); got != want {
		t.Errorf("columns %s", got)
	}
	last := 2.0
	digests := make(map[string]bool)
	for _, row := range rows[1:] {
		ratio, err := strconv.ParseFloat(row[column("hit_ratio")], 64)
		if err != nil || ratio > last {
			t.Errorf("ratio %v after %v, %v", ratio, last, err)
		}
		last = ratio
		digests[row[column("outcome_digest")]] = true
		if row[0] == "64MiB" && row[1] == "LRU" {
			traced(t, cli.ExitOK, append(base, "--pacing", "virtual", "--json", "--no-csv")...)
			if alone := summaryOf(t, dir); alone.Digest != row[column("outcome_digest")] {
				t.Errorf("digest %s, alone %s", row[column("outcome_digest")], alone.Digest)
			}
		}
	}
	if len(digests) < 4 {
		t.Errorf("%d digests of six configurations", len(digests))
	}
	if !strings.Contains(out, "6 configurations in ") || strings.Contains(out, "l2_read_bytes") {
		t.Errorf("table:\n%s", out)
	}
}

func TestSweepRefuses(t *testing.T) {
	base := []string{"trace", "replay", sample, "--l1-size-gb", "1", "--eviction-policy", "LRU"}
	for text, want := range map[string]string{
		"l1-size-gb":                   `"l1-size-gb": must be FLAG=VALUE,VALUE,…`,
		"l1-size-gb=":                  "must be FLAG=VALUE",
		"l1-size-gb=0":                 "must be more than 0",
		"port=1":                       `"port" cannot be swept; these can: eviction-mode,`,
		"eviction-policy=lru":          "must be one of LRU, IsolatedLRU, RecencyFrequency, noop",
		"eviction-ratio=2":             "must be a number from 0 to 1, got",
		"eviction-trigger-watermark=0": `must be a number above 0 and at most 1, got "0"`,
		"l1-size-gb=1e9":               "--sweep: --l1-size-gb 1e9: l1: Bytes: must be at most ",
		"l1-size-gb=1, two":            `l1-size-gb: must be a size such as 64GiB or a number, got "two"`,
		"l2-prefetch-policy=default":   "has no effect without --l2-adapter",
		"l1-size-gb=" + strings.Repeat("1,", 10_001) + "1": "more than 10000 configurations",
	} {
		_, stderr := traced(t, cli.ExitUsage, append(base, "--sweep", text)...)
		if !strings.Contains(stderr, want) {
			t.Errorf("%.40s: %q is not in\n%.300s", text, want, stderr)
		}
	}
	// What does not go together at one of the points.
	for args, want := range map[string]string{
		"--sweep eviction-ratio=0.1 --eviction-mode exact":                           "--sweep: --eviction-ratio 0.1: --eviction-ratio takes effect with --eviction-mode watermark only, got exact",
		"--sweep eviction-mode=watermark,exact --sweep eviction-ratio=0.1":           "--sweep: --eviction-mode exact --eviction-ratio 0.1: --eviction-ratio takes effect with --eviction-mode watermark only, got exact",
		"--sweep eviction-policy=LRU,noop --sweep eviction-ratio=0.1":                "--sweep: --eviction-policy noop --eviction-ratio 0.1: --eviction-ratio has no effect with --eviction-policy noop, which evicts nothing",
		"--sweep eviction-policy=LRU,noop --eviction-ratio 0.1":                      "--sweep: --eviction-policy noop: --eviction-ratio has no effect with --eviction-policy noop, which evicts nothing",
		"--sweep eviction-policy=LRU,noop --eviction-mode watermark":                 "--sweep: --eviction-policy noop: --eviction-mode watermark has no effect with --eviction-policy noop, which evicts nothing",
		"--sweep eviction-policy=noop --sweep eviction-mode=exact,watermark":         "--sweep: --eviction-policy noop --eviction-mode watermark: --eviction-mode watermark has no effect",
		"--sweep eviction-ratio=0.1 --sweep l1-size-gb=1 --sweep eviction-ratio=0.2": "--sweep: eviction-ratio is there twice: all its values belong into one list",
		"--sweep eviction-mode=exact --eviction-ratio 0.1":                           "--eviction-ratio: takes effect with --eviction-mode watermark only, which is not swept",
	} {
		_, stderr := traced(t, cli.ExitUsage, append(base, strings.Fields(args)...)...)
		if !strings.HasPrefix(stderr, "lmcache: error: "+want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: not %q:\n%s", args, want, stderr)
		}
	}
	_, stderr := traced(t, cli.ExitUsage, append(base, "--sweep", "l1-size-gb=1,2", "--pacing", "fast", "--json")...)
	for _, want := range []string{"--sweep: needs --pacing virtual", "--json: has no effect with --sweep"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is not in\n%s", want, stderr)
		}
	}
	_, stderr = traced(t, cli.ExitUsage, append(base, "--parallel", "2")...)
	if !strings.Contains(stderr, "--parallel: has no effect without --sweep or --mrc") {
		t.Errorf("stderr:\n%s", stderr)
	}
}

// sweepRows are the rows of the CSV with the names of its columns first.
func sweepRows(t *testing.T, dir string) [][]string {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "trace_replay_sweep.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// The flags of watermark mode choose it in a sweep, too: each row is what a replay with
// its value as a flag gives. Blanks around values are not part of them.
func TestSweepOfWatermarkFlags(t *testing.T) {
	dir := t.TempDir()
	lct, html := filepath.Join(dir, "run.lct"), filepath.Join(dir, "sweep.html")
	traced(t, cli.ExitOK, "trace", "convert", "--limit", "100", "--output", lct, "-q")
	base := []string{"trace", "replay", lct, "--l1-size-gb", "256MiB", "--eviction-policy", "LRU", "--output-dir", dir, "-q"}
	for flag, values := range map[string]string{"eviction-trigger-watermark": "0.3, 0.9", "eviction-ratio": " 0,0.5"} {
		traced(t, cli.ExitOK, append(base, "--html", html, "--sweep", flag+"="+values)...)
		rows := sweepRows(t, dir)
		digest := slices.Index(rows[0], "outcome_digest")
		var got []string
		for _, row := range rows[1:] {
			got = append(got, row[0])
			traced(t, cli.ExitOK, append(base, "--pacing", "virtual", "--json", "--no-csv", "--"+flag, row[0])...)
			if alone := summaryOf(t, dir); alone.Digest != row[digest] {
				t.Errorf("%s %s: digest %s, alone %s", flag, row[0], row[digest], alone.Digest)
			}
		}
		slices.Sort(got)
		if want := strings.ReplaceAll(values, " ", ""); strings.Join(got, ",") != want || rows[1][digest] == rows[2][digest] {
			t.Errorf("%s: values %q, want %s; digests %s %s", flag, got, want, rows[1][digest], rows[2][digest])
		}
		page, err := os.ReadFile(html)
		if err != nil || !strings.Contains(string(page), "<dt>Mode of eviction</dt><dd>watermark</dd>") {
			t.Errorf("%v: the page does not say the mode", err)
		}
	}
}

// A sweep of a damaged recording is an error with --strict, behind its results.
func TestSweepStrict(t *testing.T) {
	data, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cut := filepath.Join(dir, "cut.lct")
	if err := os.WriteFile(cut, data[:len(data)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file  string
		quiet bool
		code  int
		want  string
	}{
		{sample, false, cli.ExitOK, ""},
		{cut, false, cli.ExitFailed, "lmcache: error: --strict: 0 gaps, 0 skipped and 1 malformed records, 0 ends of reads without a beginning\n"},
		{cut, true, cli.ExitFailed, "lmcache: error: --strict: "},
	} {
		args := []string{"trace", "replay", c.file, "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--output-dir", dir, "--no-progress", "--strict", "--sweep", "l1-size-gb=64MiB,1"}
		if c.quiet {
			args = append(args, "-q")
		}
		stdout, stderr := traced(t, c.code, args...)
		if !strings.Contains(stderr, c.want) || strings.Contains(stdout, "2 configurations in") == c.quiet || len(sweepRows(t, dir)) != 3 {
			t.Errorf("%s:\n%s%s", c.file, stdout, stderr)
		}
	}
}

// Without lookups there is no hit ratio, in no form.
func TestSweepWithoutLookups(t *testing.T) {
	dir := t.TempDir()
	html := filepath.Join(dir, "sweep.html")
	stdout, _ := traced(t, cli.ExitOK, "trace", "replay", sample, "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--output-dir", dir, "--no-progress",
		"--from", "100000", "--sweep", "l1-size-gb=64MiB,1", "--html", html)
	page, err := os.ReadFile(html)
	if err != nil || strings.Contains(string(page), "NaN") || strings.Contains(stdout, "NaN") {
		t.Errorf("%v: a ratio that is none is shown:\n%s", err, stdout)
	}
	for _, row := range sweepRows(t, dir)[1:] {
		if row[1] != "0" || row[6] != "" {
			t.Errorf("%q lookups, ratio %q", row[1], row[6])
		}
	}
}

// TestREQ_T33_PageOfASweep: the page has the numbers of the CSV: a line over the sizes
// for each other configuration, the bound and what was recorded, or a bar for each
// configuration where no size is swept.
func TestREQ_T33_PageOfASweep(t *testing.T) {
	dir := t.TempDir()
	lct, html := filepath.Join(dir, "run.lct"), filepath.Join(dir, "made", "sweep.html")
	traced(t, cli.ExitOK, "bench", "workload", "--l1-size-gb", "128MiB", "--eviction-policy", "LRU", "--concurrency", "1", "--limit", "150", "--quiet",
		"--trace-level", "storage", "--trace-output", lct)
	base := []string{"trace", "replay", lct, "--l1-size-gb", "128MiB", "--eviction-policy", "LRU", "--output-dir", dir, "--html", html, "-q"}
	read := func() (page string, rows [][]string) {
		text, err := os.ReadFile(html)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(filepath.Join(dir, "trace_replay_sweep.csv"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		if rows, err = csv.NewReader(f).ReadAll(); err != nil {
			t.Fatal(err)
		}
		return string(text), rows
	}
	has := func(page string, list ...string) {
		t.Helper()
		for _, want := range list {
			if !strings.Contains(page, want) {
				t.Errorf("no %q in the page", want)
			}
		}
	}

	traced(t, cli.ExitOK, append(base, "--sweep", "l1-size-gb=64MiB,128MiB,8", "--sweep", "eviction-policy=LRU,noop")...)
	page, rows := read()
	ratio, digest := slices.Index(rows[0], "hit_ratio"), slices.Index(rows[0], "outcome_digest")
	for _, row := range rows[1:] {
		v, err := strconv.ParseFloat(row[ratio], 64)
		if err != nil {
			t.Fatal(err)
		}
		size := map[string]string{"64MiB": "64 MiB", "128MiB": "128 MiB", "8": "8 GiB"}[row[0]]
		has(page, "<title>"+row[1]+", "+size+": "+ratioText(v)+"</title>", "<td>"+row[ratio]+"</td>", "<td>"+row[digest][:16]+"</td>")
	}
	has(page, "<title>as recorded (128 MiB, LRU), measured, 128 MiB: ", "<title>Belady, 8 GiB: ", `<tr class="marked"><th scope="row">128 MiB</th><td>LRU</td>`,
		"none: L1 alone", "<dt>Seed</dt><dd>1</dd>", "run.lct", "Digest of its configuration")
	if strings.Count(page, `<tr class="marked">`) != 1 {
		t.Error("more than the recorded configuration is marked")
	}

	traced(t, cli.ExitOK, append(base, "--sweep", "eviction-policy=LRU,noop", "--l2-adapter", `{"type": "fs", "base_path": "/nowhere", "max_capacity_gb": 1}`)...)
	page, rows = read()
	for _, row := range rows[1:] {
		has(page, `<span class="name">`+row[0]+"</span>", "<td>"+row[slices.Index(rows[0], "l2_read_bytes")]+"</td>")
	}
	has(page, "fs=100µs:2GB/s", `<li class="marked"><span class="name">as recorded (128 MiB, LRU), measured`)
	if strings.Contains(page, "<svg class") || strings.Contains(page, "Belady") || strings.Contains(page, `<tr class="marked">`) {
		t.Error("a plot over nothing, a bound of L1 with a tier behind it, or a configuration that was not recorded")
	}

	// More lines than can be told apart, and configurations without any lookup.
	traced(t, cli.ExitOK, append(base, "--sweep", "l1-size-gb=64MiB,128MiB", "--sweep", "eviction-mode=watermark", "--sweep", "eviction-ratio=0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8", "--no-csv")...)
	page, _ = read()
	has(page, "The plot has the 6 configurations with the best points")
	traced(t, cli.ExitOK, append(base, "--sweep", "eviction-policy=LRU,noop", "--from", "100000", "--no-csv")...)
	page, _ = read()
	has(page, "no lookups", "from 100000 s to the end")
}

// A ratio of 0 is none, not the default, in curves as in sweeps.
func TestCurveOfRatioZero(t *testing.T) {
	dir := t.TempDir()
	lct := filepath.Join(dir, "run.lct")
	traced(t, cli.ExitOK, "trace", "convert", "--limit", "150", "--output", lct, "-q")
	read := func(args ...string) string {
		t.Helper()
		traced(t, cli.ExitOK, append(append([]string{"trace"}, args...), "--output-dir", dir, "-q")...)
		text, err := os.ReadFile(filepath.Join(dir, "trace_replay_mrc.csv"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	curve := func(ratio string) string {
		t.Helper()
		flags := []string{"--eviction-policy", "LRU", "--eviction-mode", "watermark", "--eviction-trigger-watermark", "0.1", "--eviction-ratio", ratio}
		got := read(append([]string{"replay", lct, "--l1-size-gb", "1", "--mrc"}, flags...)...)
		if want := read(append([]string{"mrc", lct, "--l1-size-gb", "1"}, flags...)...); got != want {
			t.Errorf("ratio %s:\ngot\n%swant\n%s", ratio, got, want)
		}
		return got
	}
	if zero, part := curve("0"), curve("0.2"); zero == part {
		t.Errorf("0 is as 0.2:\n%s", zero)
	}
}

// A curve by the replay is that of trace mrc for the configuration under test.
func TestReplayAsCurve(t *testing.T) {
	dir := t.TempDir()
	lct, html := filepath.Join(dir, "run.lct"), filepath.Join(dir, "curve.html")
	traced(t, cli.ExitOK, "trace", "convert", "--limit", "100", "--output", lct, "-q")
	read := func() string {
		text, err := os.ReadFile(filepath.Join(dir, "trace_replay_mrc.csv"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	replay := func(more ...string) string {
		stdout, _ := traced(t, cli.ExitOK, append([]string{"trace", "replay", lct, "--l1-size-gb", "256MiB", "--eviction-policy", "RecencyFrequency", "--output-dir", dir, "--no-progress"}, more...)...)
		return stdout
	}
	for _, c := range []struct{ replay, mrc []string }{
		{[]string{"--mrc"}, []string{"--l1-size-gb", "256MiB"}},
		{[]string{"--html", html, "--mrc", "128MiB,1,inf"}, []string{"--sizes", "128MiB,1,inf"}},
	} {
		stdout := replay(c.replay...)
		got := read()
		traced(t, cli.ExitOK, append([]string{"trace", "mrc", lct, "--eviction-policy", "RecencyFrequency", "--output-dir", dir, "-q"}, c.mrc...)...)
		if want := read(); got != want || strings.Count(got, "RecencyFrequency") < 3 {
			t.Errorf("%v:\ngot\n%swant\n%s", c.replay, got, want)
		}
		if !strings.Contains(stdout, "Miss-Ratio Curve") {
			t.Errorf("table:\n%s", stdout)
		}
	}
	text, err := os.ReadFile(html)
	if err != nil || !strings.Contains(string(text), "<title>RecencyFrequency, 1 GiB: ") {
		t.Errorf("%v: %.200s", err, text)
	}
	_, stderr := traced(t, cli.ExitUsage, "trace", "replay", lct, "--l1-size-gb", "1", "--eviction-policy", "LRU", "--mrc", "1", "--sweep", "l1-size-gb=1,2", "--l2-adapter", `{"type": "mem", "max_size_gb": 1}`)
	for _, want := range []string{"--mrc: excludes --sweep", "--l2-adapter: has no effect with --mrc"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is not in\n%s", want, stderr)
		}
	}
}
