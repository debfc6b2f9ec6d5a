package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/storage"
)

// sample is a recording of LMCache 0.5.6.
const sample = "../../trace/testdata/upstream-small.lct"

// traced runs a command and returns what it printed.
func traced(t *testing.T, wantCode int, args ...string) (stdout, stderr string) {
	t.Helper()
	r := newRun(t, nil)
	if code := r.app.Run(t.Context(), args); code != wantCode {
		t.Fatalf("%v: exit code %d, want %d:\n%s%s", args, code, wantCode, r.stdout.String(), r.stderr.String())
	}
	return r.stdout.String(), r.stderr.String()
}

// TestREQ_T2_InfoIsThatOfLMCache, but for the path in the first line.
func TestREQ_T2_InfoIsThatOfLMCache(t *testing.T) {
	want, err := os.ReadFile("../../trace/testdata/upstream-small.info.txt")
	if err != nil {
		t.Fatal(err)
	}
	got, _ := traced(t, cli.ExitOK, "trace", "info", sample)
	_, got, _ = strings.Cut(got, "\n")
	_, rest, _ := strings.Cut(string(want), "\n")
	if diff := cmp.Diff(rest, got); diff != "" {
		t.Errorf("(-LMCache +ours):\n%s", diff)
	}
	var info struct {
		File    string           `json:"file"`
		Records int              `json:"total_records"`
		Ops     map[string]int64 `json:"ops"`
		Unique  *int             `json:"unique_keys"`
	}
	stdout, _ := traced(t, cli.ExitOK, "trace", "info", "--json", sample)
	if err := json.Unmarshal([]byte(stdout), &info); err != nil || info.Records != 190 || info.File != sample || len(info.Ops) != 6 || info.Unique != nil {
		t.Errorf("%v %+v", err, info)
	}
	stdout, _ = traced(t, cli.ExitOK, "trace", "info", "--json", "--verbose", sample)
	if err := json.Unmarshal([]byte(stdout), &info); err != nil || info.Unique == nil || *info.Unique < 10 {
		t.Errorf("%v %+v", err, info)
	}
}

// A file from stdin, one that is cut, and those that are none.
func TestTraceInfoOfOddFiles(t *testing.T) {
	dir := t.TempDir()
	stream, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	r := newRun(t, nil)
	r.app.IO.Stdin = strings.NewReader(string(stream))
	if code := r.app.Run(t.Context(), []string{"trace", "info", "-"}); code != cli.ExitOK || !strings.HasPrefix(r.stdout.String(), "Trace file: -\n") {
		t.Errorf("stdin: exit code %d, %s", code, r.stdout.String())
	}
	stdout, stderr := traced(t, cli.ExitOK, "trace", "info", write("cut.lct", stream[:len(stream)-1]))
	if !strings.Contains(stdout, "total_records:              189\n") || !strings.HasPrefix(stderr, "lmcache: warning: TraceReader: truncated frame body at offset ") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("cut: %s%s", stdout, stderr)
	}
	header := stream[:4+1492]
	stdout, _ = traced(t, cli.ExitOK, "trace", "info", write("empty.lct", header))
	if !strings.HasSuffix(stdout, "  total_records:              0\n  ops: (none)\n") || !strings.Contains(stdout, "  duration:                   0.000s\n") {
		t.Errorf("no records: %s", stdout)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing.lct": {nil, "unexpected EOF reading frame length"},
		"text.lct":    {[]byte("no trace at all"), "it is not a recording: it would begin with a header of 1852776564 bytes, the limit is 67108864"},
		"half.lct":    {stream[:100], "truncated frame body at offset 0 (got 96 of 1492)"},
	} {
		path := write(name, c.data)
		for _, command := range [][]string{{"trace", "info", path}, {"trace", "replay", path, "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--no-csv"}} {
			stdout, stderr := traced(t, cli.ExitFailed, command...)
			if want := "lmcache: error: trace file '" + path + "': " + c.want + "\n"; stdout != "" || stderr != want {
				t.Errorf("%s\ngot  %swant %s", stdout, stderr, want)
			}
		}
	}
	_, stderr = traced(t, cli.ExitFailed, "trace", "info", filepath.Join(dir, "missing.lct"))
	if want := "lmcache: error: trace file '" + filepath.Join(dir, "missing.lct") + "': no such file or directory\n"; stderr != want {
		t.Errorf("got  %swant %s", stderr, want)
	}
}

func replayArgs(more ...string) []string {
	return append([]string{"trace", "replay", sample, "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--pacing", "fast"}, more...)
}

// TestREQ_T2_ReplayOfTheSample makes all of its 190 calls; the files are there and
// agree with the table.
func TestREQ_T2_ReplayOfTheSample(t *testing.T) {
	leak.Check(t)
	dir := filepath.Join(t.TempDir(), "made", "before")
	jsonl := filepath.Join(t.TempDir(), "run.jsonl")
	stdout, stderr := traced(t, cli.ExitOK, replayArgs("--output-dir", dir, "--json", "--jsonl-out", jsonl, "--log-level", "INFO", "--verify")...)
	for _, want := range []string{
		"===================== Trace Replay Result ======================\n",
		"--------------------------- Overall ----------------------------\n",
		"Trace level:                                             storage\n",
		"Records replayed:                                            190\nRecords skipped:                                               0\nRecords failed:                                                0\n",
		"Config digest:             MISMATCH (rec=a6c4c09b, run=", "--------------------- Per-Op Latency (ms) ----------------------\n",
		"finish_write count:                                           27\n", "read_prefetched_results.enter count:                          32\n",
		"read_prefetched_results.exit count:                           32\n", "Hit ratio:                                                0.7640\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	for _, want := range []string{
		"!! REPLAY ENVIRONMENT MISMATCH MAY CAUSE RETRIEVE MISSES !!", "INFO: trace replay: file=" + sample + " records=190", "INFO: [1/190] OK " + storage.NamePrefix + "submit_prefetch_task (",
		"INFO: CSV written to " + filepath.Join(dir, "trace_replay_ops.csv"), "INFO: JSON written to " + filepath.Join(dir, "trace_replay_summary.json"),
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in\n%.2000s", want, stderr)
		}
	}
	checkReplayFiles(t, dir, jsonl)
}

func checkReplayFiles(t *testing.T, dir, jsonl string) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "trace_replay_ops.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 7 || strings.Join(rows[0], ",") != "qualname,count,errors,mean_ms,p50_ms,p90_ms,p99_ms,min_ms,max_ms" {
		t.Fatalf("%v %v", err, rows)
	}
	if r := rows[2]; r[0] != storage.NamePrefix+"finish_write" || r[1] != "27" || r[2] != "0" || len(r[3][strings.IndexByte(r[3], '.'):]) != 7 {
		t.Errorf("row %v", r)
	}
	data, err := os.ReadFile(filepath.Join(dir, "trace_replay_summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	var summary struct {
		Duration float64                       `json:"duration_s"`
		Ops      map[string]map[string]float64 `json:"ops"`
		Hits     map[string]float64            `json:"hits"`
		Digest   map[string]any                `json:"digest"`
	}
	if err := json.Unmarshal(data, &summary); err != nil || summary.Duration <= 0 || len(summary.Ops) != 6 || summary.Hits["hit_keys"] != 136 || summary.Digest["match"] != false {
		t.Errorf("%v %s", err, data)
	}
	if !strings.HasPrefix(string(data), "{\n  \"digest\": {") || !strings.HasSuffix(string(data), "}\n") {
		t.Errorf("form: %.100s", data)
	}
	lines, err := os.ReadFile(jsonl)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(strings.TrimSpace(string(lines)), "\n")
	form := regexp.MustCompile(`^\{"qualname":"` + regexp.QuoteMeta(storage.NamePrefix) + `submit_prefetch_task","latency_ms":[0-9.]+,"failed":false,"t_mono":[0-9.]+,"skipped":false,"n":0,"o":\[\{"n":0,"d":0,"l1":0\},\{"n":0,"d":\d+,"hits":0,"l2":0,"wait":\d+\}\]\}$`)
	if len(all) != 190 || !form.MatchString(all[0]) {
		t.Errorf("%d lines, the first is %s", len(all), all[0])
	}
}

// TestREQ_T22_RecordAndReplay through the command line: the same hits, and a digest
// that matches, at another time and elsewhere. Bytes are checked.
func TestREQ_T22_RecordAndReplay(t *testing.T) {
	leak.Check(t)
	path, dir := filepath.Join(t.TempDir(), "run.lct"), t.TempDir()
	stdout, _ := traced(t, cli.ExitOK, "bench", "workload", "--limit", "40", "--l1-size-gb", "128MiB", "--trace-level", "storage", "--trace-output", path, "--json")
	var result struct {
		Hits     float64 `json:"hit_chunks"`
		Evicted  int     `json:"evicted_chunks"`
		Requests float64 `json:"requests"`
	}
	if err := json.Unmarshal([]byte(stdout), &result); err != nil || result.Evicted == 0 || result.Hits == 0 {
		t.Fatalf("%v %+v: the test needs hits and victims", err, result)
	}
	args := []string{"trace", "replay", path, "--eviction-policy", "LRU", "--pacing", "fast", "--verify", "--strict", "--json", "--output-dir", dir, "--no-csv"}
	stdout, stderr := traced(t, cli.ExitOK, append(args, "--l1-size-gb", "128MiB", "--require-digest")...)
	for _, want := range []string{
		"Records skipped:                                               0\n", "Records failed:                                                0\n",
		"Config digest:                                  match (",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s%s", want, stdout, stderr)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "trace_replay_summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	var summary struct {
		Hits map[string]float64 `json:"hits"`
	}
	if err := json.Unmarshal(data, &summary); err != nil || summary.Hits["hit_keys"] != result.Hits || summary.Hits["lookups"] != result.Requests {
		t.Errorf("%v %v, recorded %+v", err, summary.Hits, result)
	}
	_, stderr = traced(t, cli.ExitFailed, append(args, "--l1-size-gb", "64MiB", "--require-digest")...)
	if !strings.HasPrefix(stderr, "lmcache: error: --require-digest: the recording was made under another configuration (recorded ") {
		t.Errorf("stderr %s", stderr)
	}
}

// TestREQ_T30_OutputsAreTriedFirst, and usage errors are told from others.
func TestREQ_T30_OutputsAreTriedFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--output-dir " + file + "/dir", cli.ExitFailed, "lmcache: error: --output-dir: mkdir " + file + ": not a directory\n"},
		{"--no-csv --jsonl-out " + file + "/x", cli.ExitFailed, "lmcache: error: --jsonl-out: open " + file + "/x: not a directory\n"},
		{"--speed 2", cli.ExitUsage, "lmcache: error: --speed: has no effect with --pacing fast\n"},
		{"--verify --fill zero", cli.ExitUsage, "lmcache: error: --verify: needs --fill key, got zero\n"},
		{"--from 3 --to 2", cli.ExitUsage, "lmcache: error: --to: must not be less than --from, got 2 and 3\n"},
		{"--workers 0", cli.ExitUsage, "lmcache: error: --workers: must be between 1 and 1024, got 0\n"},
		{"--jsonl-keys", cli.ExitUsage, "lmcache: error: --jsonl-keys: has no effect without --jsonl-out\n"},
		{"--sweep l1-size-gb=1,2", cli.ExitUsage, "lmcache: error: --sweep: needs --pacing virtual, got fast\n"},
		{"--html x.html", cli.ExitUsage, "lmcache: error: --html: needs --sweep or --mrc\n"},
		{"--mrc 1,x", cli.ExitUsage, "lmcache: error: --mrc: must be a size such as 64GiB or a number, got \"x\"\n"},
		{"--mrc --jsonl-out x", cli.ExitUsage, "lmcache: error: --jsonl-out: has no effect with --mrc\n"},
	} {
		_, stderr := traced(t, c.code, replayArgs(strings.Fields(c.args)...)...)
		if got := sortedLines(stderr); got != c.want {
			t.Errorf("%s:\ngot  %swant %s", c.args, got, c.want)
		}
	}
	_, stderr := traced(t, cli.ExitOK, replayArgs("--trace-level", "storage", "--no-csv", "-q")...)
	if stderr != "lmcache: warning: --trace-level has no effect in lmcache-go: a replay is not recorded\n" {
		t.Errorf("stderr %s", stderr)
	}
}

func sortedLines(s string) string {
	lines := strings.SplitAfter(s, "\n")
	if len(lines) == 3 && lines[0] > lines[1] {
		lines[0], lines[1] = lines[1], lines[0]
	}
	return strings.Join(lines, "")
}

// A line for each record, or nothing at all.
func TestReplayOnStdout(t *testing.T) {
	stdout, _ := traced(t, cli.ExitOK, replayArgs("--verbose", "--no-csv")...)
	lines := strings.Split(stdout, "\n")
	if want := "ms  " + storage.NamePrefix + "submit_prefetch_task"; !strings.HasPrefix(lines[0], "  [1/190]  OK      ") || !strings.HasSuffix(lines[0], want) {
		t.Errorf("first line %q", lines[0])
	}
	dir := t.TempDir()
	stdout, stderr := traced(t, cli.ExitOK, replayArgs("-q", "--verbose", "--output-dir", dir)...)
	if stdout != "" || stderr != "" {
		t.Errorf("quiet: %q %q", stdout, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "trace_replay_ops.csv")); err != nil {
		t.Error(err)
	}
}

// A signal ends a replay with partial results.
func TestReplayIsInterrupted(t *testing.T) {
	leak.Check(t)
	r := newRun(t, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&cli.InterruptedError{Signal: syscall.SIGINT})
	code := r.app.Run(ctx, []string{"trace", "replay", sample, "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--no-csv"})
	if code != cli.ExitInterrupt || !strings.Contains(r.stdout.String(), "Interrupted:                                                True\n") {
		t.Errorf("exit code %d:\n%s%s", code, r.stdout.String(), r.stderr.String())
	}
}

// A replay at the recorded times says how late its calls were, one of another pacing does not.
func TestReplayIsLate(t *testing.T) {
	dir := t.TempDir()
	replayed := func(more ...string) (table string, late bool) {
		stdout, _ := traced(t, cli.ExitOK, append([]string{
			"trace", "replay", sample, "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--no-csv", "--json", "--output-dir", dir,
		}, more...)...)
		data, err := os.ReadFile(filepath.Join(dir, "trace_replay_summary.json"))
		if err != nil {
			t.Fatal(err)
		}
		var v struct{ Late map[string]float64 }
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		return stdout, v.Late["max_ms"] > 0 && v.Late["p99_ms"] <= v.Late["max_ms"]
	}
	if table, late := replayed("--speed", "100"); !late || !strings.Contains(table, "Calls were late by, p99 (ms):") || !strings.Contains(table, "Calls were late by, max (ms):") {
		t.Errorf("realtime: %v\n%s", late, table)
	}
	if table, late := replayed("--pacing", "fast"); late || strings.Contains(table, "late") {
		t.Errorf("fast: %v\n%s", late, table)
	}
}

// The size of a file of a recording may have a unit, and every command takes the files in
// the order of a shell's glob, where the first one is last.
func TestPartsOnTheCommandLine(t *testing.T) {
	for _, format := range []string{"extended", "plain"} {
		dir := t.TempDir()
		run := func(name string, more ...string) {
			traced(t, cli.ExitOK, append([]string{
				"bench", "workload", "--l1-size-gb", "64MiB", "--limit", "60", "--concurrency", "1", "-q", "--trace-level", "storage", "--trace-format", format,
				"--trace-output", filepath.Join(dir, name),
			}, more...)...)
		}
		run("one.lct")
		run("run.lct", "--trace-max-bytes", "64KiB")
		parts, err := filepath.Glob(filepath.Join(dir, "run*.lct"))
		if err != nil || len(parts) < 5 || filepath.Base(parts[0]) == "run.lct" {
			t.Fatalf("%v %v", err, parts)
		}
		results := make(map[string]string)
		for name, files := range map[string][]string{"one": {filepath.Join(dir, "one.lct")}, "parts": parts} {
			args := append([]string{"trace", "replay"}, files...)
			traced(t, cli.ExitOK, append(args, "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--pacing", "virtual", "--json", "--output-dir", dir, "--no-csv", "--strict")...)
			data, err := os.ReadFile(filepath.Join(dir, "trace_replay_summary.json"))
			if err != nil {
				t.Fatal(err)
			}
			var v struct {
				Digest string `json:"outcome_digest"`
			}
			if err := json.Unmarshal(data, &v); err != nil {
				t.Fatal(err)
			}
			results[name] = v.Digest
		}
		if results["one"] != results["parts"] || results["one"] == "" {
			t.Errorf("%s: %v", format, results)
		}
		_, stderr := traced(t, cli.ExitFailed, "trace", "info", parts[0], parts[1], parts[0])
		if want := "lmcache: error: trace file '" + parts[0] + "': the same part of the recording as '" + parts[0] + "'\n"; stderr != want {
			t.Errorf("%s: got %s, want %s", format, stderr, want)
		}
		if format == "plain" {
			continue
		}
		for _, pacing := range []string{"fast", "virtual"} {
			_, stderr = traced(t, cli.ExitFailed, "trace", "replay", parts[len(parts)-1], parts[1], "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--pacing", pacing, "--no-csv", "--strict")
			if !strings.Contains(stderr, "TraceReader: part 1 of the recording is missing") || !strings.Contains(stderr, "lmcache: error: --strict: ") {
				t.Errorf("%s: %s", pacing, stderr)
			}
		}
	}
}
