package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/trace/replay"
)

// TestREQ_T26_DiffOfTwoFiles: two replays of one recording on the command line, in real
// and in virtual time. Equal configurations are equal, half of the memory is not, and the
// first difference names the key and its eviction.
func TestREQ_T26_DiffOfTwoFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	traced(t, cli.ExitOK, "bench", "workload", "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--concurrency", "1", "--limit", "150", "--quiet", "--chunk-size", "256",
		"--trace-level", "storage", "--trace-output", file("run.lct"))
	traced(t, cli.ExitOK, "trace", "convert", "--limit", "400", "--output", file("other.lct"), "-q")
	run := func(recording, out, size, pacing string, more ...string) string {
		stdout, _ := traced(t, cli.ExitOK, append([]string{
			"trace", "replay", file(recording), "--l1-size-gb", size, "--eviction-policy", "LRU", "--pacing", pacing,
			"--no-csv", "--no-progress", "--jsonl-out", file(out),
		}, more...)...)
		return stdout
	}
	report := run("run.lct", "fast", "64MiB", "fast", "--fail-on-divergence", "--disable-observability")
	if !strings.Contains(report, "Not as recorded:                                               0\n") {
		t.Errorf("a divergence in\n%s", report)
	}
	run("run.lct", "virtual", "64MiB", "virtual")
	run("other.lct", "half", "512MiB", "virtual", "--jsonl-keys")
	run("other.lct", "keys", "4GiB", "virtual", "--jsonl-keys")

	stdout, _ := traced(t, cli.ExitOK, "trace", "diff", file("fast"), file("virtual"), "--fail-on-divergence")
	if !strings.Contains(stdout, "First difference:                                           none\n") {
		t.Errorf("fast and virtual:\n%s", stdout)
	}
	// The recording says how many tokens a chunk has, and so do the lines; the flag comes first.
	for want, flags := range map[int64][]string{256: nil, 16: {"--chunk-size", "16"}} {
		var got struct{ A, B diffSide }
		stdout, _ = traced(t, cli.ExitOK, append([]string{"trace", "diff", file("fast"), file("virtual"), "--json"}, flags...)...)
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatal(err)
		}
		if got.A.Tokens == nil || *got.A.Tokens != want*got.A.Hits || *got.B.Tokens != *got.A.Tokens || got.A.Hits == 0 {
			t.Errorf("%d tokens in a chunk: %s", want, stdout)
		}
	}
	if stdout, _ = traced(t, cli.ExitOK, "trace", "diff", file("keys"), file("half")); strings.Contains(stdout, "Prefix-hit tokens") {
		t.Errorf("tokens of a recording that does not know its chunks:\n%s", stdout)
	}
	stdout, stderr := traced(t, cli.ExitFailed, "trace", "diff", file("keys"), file("half"), "--json", "--chunk-size", "512", "--fail-on-divergence", "--divergence-out", file("differences"))
	var got struct {
		A, B               diffSide
		Compared, Diverged int64
		Kinds              map[string]int64 `json:"by_kind"`
		First              *replay.Divergence
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, n := range got.Kinds {
		sum += n
	}
	if got.Diverged == 0 || sum != got.Diverged || got.Compared < 300 || got.First == nil || got.First.Key == "" || *got.A.Tokens < *got.B.Tokens || *got.A.Tokens != 512*got.A.Hits {
		t.Errorf("%+v", got)
	}
	if !strings.HasPrefix(stderr, "lmcache: error: --fail-on-divergence: ") {
		t.Errorf("stderr %s", stderr)
	}
	lines, err := os.ReadFile(file("differences"))
	if err != nil || int64(strings.Count(string(lines), "\n")) != got.Diverged || !strings.Contains(string(lines), `"evicted_in":"B"`) {
		t.Errorf("%v: %d differences, the file has %.300s", err, got.Diverged, lines)
	}
	stdout, _ = traced(t, cli.ExitOK, "trace", "diff", file("keys"), file("half"))
	if !strings.Contains(stdout, got.First.Between()) || !strings.Contains(stdout, "Prefix-hit keys") {
		t.Errorf("no %q in\n%s", got.First.Between(), stdout)
	}

	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{file("run.lct") + " " + file("half"), cli.ExitFailed, "lmcache: error: " + file("run.lct") + ": line 1 is not a line of a replay: "},
		{file("missing") + " " + file("half"), cli.ExitFailed, "lmcache: error: open " + file("missing") + ": no such file or directory\n"},
		{"- -", cli.ExitUsage, "lmcache: error: - (stdin) can be one of the two only\n"},
		{file("half"), cli.ExitUsage, "lmcache: error: "},
	} {
		if _, stderr := traced(t, c.code, append([]string{"trace", "diff"}, strings.Fields(c.args)...)...); !strings.HasPrefix(stderr, c.want) {
			t.Errorf("%s:\ngot  %swant %s", c.args, stderr, c.want)
		}
	}
	r := newRun(t, nil)
	text, err := os.ReadFile(file("half"))
	if err != nil {
		t.Fatal(err)
	}
	r.app.IO.Stdin = strings.NewReader(string(text))
	if code := r.app.Run(t.Context(), []string{"trace", "diff", "-", file("half"), "--fail-on-divergence", "-q"}); code != cli.ExitOK || r.stdout.Len() > 0 {
		t.Errorf("stdin: exit code %d\n%s%s", code, r.stdout.String(), r.stderr.String())
	}
}
