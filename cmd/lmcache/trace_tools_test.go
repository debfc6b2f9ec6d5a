package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/trace"
)

// TestREQ_T29_CurveOfARecording: the recording, the table, the CSV, the JSON and the
// page say the same, and the cache that was recorded is where its policy's curve is.
func TestREQ_T29_CurveOfARecording(t *testing.T) {
	leak.Check(t)
	dir := t.TempDir()
	path, html, out := filepath.Join(dir, "run.lct"), filepath.Join(dir, "made", "curve.html"), filepath.Join(dir, "out")
	stdout, _ := traced(t, cli.ExitOK, "bench", "workload", "--limit", "150", "--l1-size-gb", "128MiB", "--trace-level", "storage", "--trace-output", path, "--json")
	var bench struct {
		Hits, Requested float64
		HitChunks       float64 `json:"hit_chunks"`
		Chunks          float64 `json:"requested_chunks"`
		Evicted         int     `json:"evicted_chunks"`
	}
	if err := json.Unmarshal([]byte(stdout), &bench); err != nil || bench.Evicted == 0 {
		t.Fatalf("%v %+v: the test needs victims", err, bench)
	}
	stdout, _ = traced(t, cli.ExitOK, "trace", "mrc", path, "--json", "--html", html, "--output-dir", out)
	var got curveJSON
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	want := sixDecimals(bench.HitChunks / bench.Chunks)
	if r := got.Recorded; r == nil || !r.Measured || *r.HitRatio != want || r.Size != 128<<20 || r.Policy != "LRU" || got.Keys != int64(bench.Chunks) {
		t.Fatalf("recorded %+v, the benchmark had %v", r, want)
	}
	f, err := os.Open(filepath.Join(out, "trace_replay_mrc.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 1+6*4 || len(got.Rows) != 6*4 || strings.Join(rows[0], ",") != "size_bytes,policy,hit_ratio,byte_hit_ratio" {
		t.Fatalf("%v: %d rows of CSV, %d of JSON", err, len(rows), len(got.Rows))
	}
	page, err := os.ReadFile(html)
	if err != nil {
		t.Fatal(err)
	}
	table, _ := traced(t, cli.ExitOK, "trace", "mrc", path, "--no-csv")
	found := false
	for i, row := range got.Rows {
		size := "inf"
		if row.Size != nil {
			size = strconv.FormatInt(*row.Size, 10)
		}
		if line := rows[i+1]; line[0] != size || line[1] != row.Policy || line[2] != strconv.FormatFloat(row.Hits, 'f', 6, 64) || line[3] != strconv.FormatFloat(row.ByteHits, 'f', 6, 64) {
			t.Errorf("CSV %v, JSON %+v", line, row)
		}
		value, _ := strconv.ParseFloat(rows[i+1][2], 64)
		if text := ratioText(value); !strings.Contains(string(page), "<td>"+text+"</td>") || !strings.Contains(table, "  "+text) {
			t.Errorf("%s is not in the page, or not in the table", text)
		}
		if row.Size != nil && *row.Size == 128<<20 && row.Policy == "LRU" {
			found = row.Hits == want
		}
	}
	if !found {
		t.Errorf("no row of 128 MiB and LRU with %v:\n%s", want, stdout)
	}
	if !strings.Contains(string(page), "as recorded (LRU, 128 MiB), measured") || !strings.Contains(table, "128 MiB, LRU: "+ratioText(want)+" measured") {
		t.Errorf("the recorded point is missing:\n%s", table)
	}
}

// Wrong command lines are told from what is in the way here.
func TestCurveRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--sizes 1,zero", cli.ExitUsage, "lmcache: error: --sizes: must be a size such as 64GiB or a number, got \"zero\"\n"},
		{"--sizes 1,0", cli.ExitUsage, "lmcache: error: --sizes: must be more than 0, got 0\n"},
		{"--sizes 1 --l1-size-gb 2", cli.ExitUsage, "lmcache: error: --l1-size-gb: excludes --sizes, whose default follows from it\n"},
		{"--eviction-policy LRU,ARC", cli.ExitUsage, "lmcache: error: --eviction-policy: must be one of LRU, IsolatedLRU, RecencyFrequency, noop, got ARC\n"},
		{"--eviction-ratio 0.1", cli.ExitUsage, "lmcache: error: --eviction-ratio: takes effect with --eviction-mode watermark only\n"},
		{"--sample 2", cli.ExitUsage, "lmcache: error: --sample: must be more than 0 and at most 1, got 2\n"},
		{"--output-dir " + file + "/dir", cli.ExitFailed, "lmcache: error: --output-dir: mkdir " + file + ": not a directory\n"},
		{"--no-csv --html " + file + "/x", cli.ExitFailed, "lmcache: error: --html: mkdir " + file + ": not a directory\n"},
	} {
		stdout, stderr := traced(t, c.code, append([]string{"trace", "mrc", sample}, strings.Fields(c.args)...)...)
		if stdout != "" || stderr != c.want {
			t.Errorf("%s:\ngot  %swant %s", c.args, stderr, c.want)
		}
	}
	stdout, stderr := traced(t, cli.ExitOK, "trace", "mrc", sample, "-q", "--no-csv", "--eviction-mode", "watermark", "--eviction-ratio", "0.1", "--eviction-policy", "LRU")
	if stdout != "" || stderr != "" {
		t.Errorf("quiet: %q %q", stdout, stderr)
	}
	for _, ratio := range []string{"0", "1"} {
		traced(t, cli.ExitOK, "trace", "mrc", sample, "-q", "--no-csv", "--eviction-mode", "watermark", "--eviction-ratio", ratio)
	}
	r := newRun(t, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&cli.InterruptedError{Signal: syscall.SIGINT})
	out := filepath.Join(t.TempDir(), "out")
	for _, args := range [][]string{
		{"trace", "mrc", sample, "--no-csv"},
		{"trace", "cut", sample, "--output", out},
		{"trace", "convert", "--output", out},
		{"trace", "convert", sample, "--output", out},
		{"trace", "diff", sample, sample},
		{"trace", "replay", sample, "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--pacing", "virtual", "--no-csv", "--l2-model", "fs=probe", "--l2-adapter", `{"type": "fs", "base_path": "` + t.TempDir() + `"}`},
	} {
		if code := r.app.Run(ctx, args); code != cli.ExitInterrupt {
			t.Errorf("%v: exit code %d, %s", args, code, r.stderr.String())
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("what was interrupted left a file")
	}
}

// Requests become a recording, of which a part is cut, which becomes requests.
func TestConvertAndCut(t *testing.T) {
	dir := t.TempDir()
	whole, part, lines := filepath.Join(dir, "whole.lct"), filepath.Join(dir, "part.lct"), filepath.Join(dir, "part.jsonl")
	stdout, _ := traced(t, cli.ExitOK, "trace", "convert", "--limit", "40", "--output", whole, "--json")
	var converted struct{ Requests, Calls int64 }
	if err := json.Unmarshal([]byte(stdout), &converted); err != nil || converted.Requests != 40 || converted.Calls != 120 {
		t.Fatalf("%v: %s", err, stdout)
	}
	stdout, _ = traced(t, cli.ExitOK, "trace", "cut", whole, "--from", "3", "--to", "9", "--output", part, "--json")
	var cut struct {
		Calls    int64
		Duration float64 `json:"duration_s"`
	}
	if err := json.Unmarshal([]byte(stdout), &cut); err != nil || cut.Calls == 0 || cut.Calls >= 120 || cut.Calls%3 != 0 || cut.Duration >= 6 {
		t.Fatalf("%v: %s", err, stdout)
	}
	stdout, _ = traced(t, cli.ExitOK, "trace", "info", part)
	if !strings.Contains(stdout, "  total_records:              "+strconv.FormatInt(cut.Calls, 10)+"\n") {
		t.Errorf("%d calls, but:\n%s", cut.Calls, stdout)
	}
	stdout, _ = traced(t, cli.ExitOK, "trace", "convert", part, "--output", lines)
	text, err := os.ReadFile(lines)
	if err != nil || int64(strings.Count(string(text), "\n")) != cut.Calls/3 || !strings.Contains(stdout, "Requests:") {
		t.Errorf("%v: %s", err, stdout)
	}
	if info, err := os.Stat(part); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v: a recording that others can read: %v", err, info.Mode())
	}
	// A recording of this project knows the size of its chunks.
	run := filepath.Join(dir, "run.lct")
	traced(t, cli.ExitOK, "bench", "workload", "--limit", "3", "--chunk-size", "256", "-q", "--trace-level", "storage", "--trace-output", run)
	traced(t, cli.ExitOK, "trace", "convert", run, "--output", lines, "-q")
	if text, err = os.ReadFile(lines); err != nil || !strings.Contains(string(text), `"input_length": 6656`) && !strings.Contains(string(text), `"input_length": 6912`) {
		t.Errorf("%v: %.200s", err, text)
	}
}

// The result goes to stdout, alone, and is what a file would hold.
func TestConvertAndCutToStdout(t *testing.T) {
	data, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("run.lct", data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"cut run.lct --from 0.5", "convert run.lct", "convert --limit 3"} {
		args := append([]string{"trace"}, strings.Fields(args)...)
		stdout, stderr := traced(t, cli.ExitOK, append(args, "--output", "-")...)
		traced(t, cli.ExitOK, append(args, "--output", "file")...)
		want, err := os.ReadFile("file")
		if err != nil || stdout != string(want) || stdout == "" || stderr != "" {
			t.Errorf("%v: %v, %d bytes, want %d; %s", args, err, len(stdout), len(want), stderr)
		}
	}
	if _, err := os.Stat("-"); err == nil {
		t.Error("there is a file of the name -")
	}
}

// A warning quotes what damage has made of a name.
func TestWarningsQuoteDamagedNames(t *testing.T) {
	data, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "run.lct")
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), "ObjectKey", "Object\x1b\ny", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr := traced(t, cli.ExitOK, "trace", "convert", path, "-q", "--output", path+"2")
	if !strings.Contains(stderr, `unknown tag 'GroupedObject\x1b ys'`) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("%q", stderr)
	}
}

// Files that are none, and flags that mean nothing.
func TestConvertAndCutRefuse(t *testing.T) {
	dir := t.TempDir()
	out, bad := filepath.Join(dir, "out"), filepath.Join(dir, "bad.jsonl")
	if err := os.WriteFile(bad, []byte("{\"timestamp\": 0}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	short, empty := filepath.Join(dir, "short.lct"), filepath.Join(dir, "empty")
	if err := errors.Join(os.WriteFile(short, []byte{0, 0, 1, 7, 1}, 0o600), os.WriteFile(empty, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"convert", cli.ExitUsage, "lmcache: error: --output: is required\n"},
		{"convert " + sample + " --model m --output " + out, cli.ExitUsage, "lmcache: error: --model: means nothing for a recording, which " + sample + " is\n"},
		{"convert --trace-format plain --output " + out, cli.ExitUsage, "lmcache: error: --trace-format: plain needs --reads or --trace-args 0.5.6: its documented form cannot say that a lookup leases nothing\n"},
		{"convert " + bad + " --output " + out, cli.ExitFailed, "lmcache: error: " + bad + ": line 1: input_length: missing; hash_ids: missing\n"},
		{"convert " + dir + "/missing --output " + out, cli.ExitFailed, "lmcache: error: open " + dir + "/missing: no such file or directory\n"},
		{"convert " + short + " --output " + out, cli.ExitFailed, "lmcache: error: " + short + ": truncated frame body at offset 0 (got 1 of 263)\n"},
		{"convert " + empty + " --output " + out, cli.ExitFailed, "lmcache: error: " + empty + ": there are no requests in it\n"},
		{"convert " + sample + " --json --output -", cli.ExitUsage, "lmcache: error: --json: excludes --output -, as stdout holds the result\n"},
		{"cut " + sample + " --json --output -", cli.ExitUsage, "lmcache: error: --json: excludes --output -, as stdout holds the result\n"},
		{"cut " + sample + " --from 600 --to 1200 -q --output " + out + "2", cli.ExitOK, "lmcache: warning: " + sample + " has no calls from 600 s on and before 1200 s\n"},
		{"cut " + sample, cli.ExitUsage, "lmcache: error: --output: is required\n"},
		{"cut " + sample + " --from 2 --to 2 --output " + out, cli.ExitUsage, "lmcache: error: --to: must be more than --from, got 2 and 2\n"},
		{"cut " + bad + " --output " + out, cli.ExitFailed, "lmcache: error: trace file '" + bad + "': it is not a recording: it would begin with a header of 2065855593 bytes, the limit is 67108864\n"},
	} {
		_, stderr := traced(t, c.code, append([]string{"trace"}, strings.Fields(c.args)...)...)
		if stderr != c.want {
			t.Errorf("%s:\ngot  %swant %s", c.args, stderr, c.want)
		}
	}
	if text, err := os.ReadFile(out); err != nil || string(text) != "before" {
		t.Errorf("%v: a failure left %q", err, text)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("%v: left behind %v", err, left)
	}
	// A cut over its own input is possible, as the file is replaced at the end.
	copied := filepath.Join(dir, "copy.lct")
	data, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, data, 0o600); err != nil {
		t.Fatal(err)
	}
	traced(t, cli.ExitOK, "trace", "cut", copied, "--from", "0.5", "--output", copied, "-q")
	f, err := trace.OpenFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range f.Records() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n == 0 || n >= 190 {
		t.Errorf("%d records are left", n)
	}
}
