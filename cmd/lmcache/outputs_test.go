package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// An output that is an input, under whatever name, or another output is refused before
// anything is written.
func TestOutputsOverwriteNothing(t *testing.T) {
	data, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	const lines = "{}\n"
	dir := t.TempDir()
	t.Chdir(dir)
	setUp := func() {
		t.Helper()
		for name, text := range map[string]string{"run.lct": string(data), "trace_replay_mrc.csv": string(data), "a.jsonl": lines, "b.jsonl": lines} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	setUp()
	for _, link := range []struct{ from, to string }{{"link.lct", "run.lct"}, {"later", "new.jsonl"}, {"here", "."}} {
		if err := os.Symlink(link.to, link.from); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link("run.lct", "hard.lct"); err != nil {
		t.Fatal(err)
	}
	const replay = "replay run.lct --l1-size-gb 64MiB --eviction-policy LRU --pacing fast "
	for _, c := range []struct{ args, want string }{
		{replay + "--jsonl-out run.lct --no-csv", "--jsonl-out: run.lct would overwrite the input FILE run.lct"},
		{replay + "--divergence-out " + dir + "/run.lct --no-csv", "--divergence-out: " + dir + "/run.lct would overwrite the input FILE run.lct"},
		{replay + "--jsonl-out hard.lct --no-csv", "--jsonl-out: hard.lct would overwrite the input FILE run.lct"},
		{replay + "--jsonl-out here/link.lct --no-csv", "--jsonl-out: here/link.lct would overwrite the input FILE run.lct"},
		{replay + "--request-log run.lct --no-csv", "--request-log: run.lct would overwrite the input FILE run.lct"},
		{replay + "--span-output run.lct --no-csv", "--span-output: run.lct would overwrite the input FILE run.lct"},
		{replay + "--jsonl-out new.jsonl --divergence-out ./new.jsonl --no-csv", "--divergence-out: ./new.jsonl is the same file as --jsonl-out new.jsonl"},
		{replay + "--jsonl-out new.jsonl --divergence-out here/later --no-csv", "--divergence-out: here/later is the same file as --jsonl-out new.jsonl"},
		{replay + "--output-dir made --jsonl-out here/made/trace_replay_ops.csv", "--jsonl-out: here/made/trace_replay_ops.csv is the same file as trace_replay_ops.csv in --output-dir made"},
		{replay + "--json --jsonl-out trace_replay_summary.json", "--jsonl-out: trace_replay_summary.json is the same file as trace_replay_summary.json in --output-dir ."},
		{"replay run.lct --l1-size-gb 1 --eviction-policy LRU --mrc --no-csv --html run.lct", "--html: run.lct would overwrite the input FILE run.lct"},
		{"replay run.lct --l1-size-gb 1 --eviction-policy LRU --sweep l1-size-gb=1,2 --html trace_replay_sweep.csv", "--html: trace_replay_sweep.csv is the same file as trace_replay_sweep.csv in --output-dir ."},
		{"replay trace_replay_mrc.csv --l1-size-gb 1 --eviction-policy LRU --mrc", "--output-dir: trace_replay_mrc.csv in it would overwrite the input FILE trace_replay_mrc.csv"},
		{"diff a.jsonl b.jsonl --divergence-out a.jsonl", "--divergence-out: a.jsonl would overwrite the input A a.jsonl"},
		{"diff a.jsonl a.jsonl --divergence-out a.jsonl", "--divergence-out: a.jsonl would overwrite the input A a.jsonl"},
		{"diff a.jsonl b.jsonl --divergence-out b.jsonl", "--divergence-out: b.jsonl would overwrite the input B b.jsonl"},
		{"mrc run.lct --no-csv --html run.lct", "--html: run.lct would overwrite the input FILE run.lct"},
		{"mrc trace_replay_mrc.csv", "--output-dir: trace_replay_mrc.csv in it would overwrite the input FILE trace_replay_mrc.csv"},
		{"mrc run.lct --html trace_replay_mrc.csv", "--html: trace_replay_mrc.csv is the same file as trace_replay_mrc.csv in --output-dir ."},
		{"cut run.lct a.jsonl --output a.jsonl", "--output: a.jsonl would overwrite the input FILE a.jsonl"},
		{"convert run.lct --output run.lct", "--output: run.lct would overwrite the input FILE run.lct"},
	} {
		stdout, stderr := traced(t, cli.ExitUsage, append([]string{"trace"}, strings.Fields(c.args)...)...)
		if want := "lmcache: error: " + c.want + "\n"; stdout != "" || stderr != want {
			t.Errorf("%s:\ngot  %swant %s", c.args, stderr, want)
		}
		for name, want := range map[string]string{"run.lct": string(data), "trace_replay_mrc.csv": string(data), "a.jsonl": lines, "b.jsonl": lines} {
			if got, err := os.ReadFile(name); err != nil || string(got) != want {
				t.Fatalf("%s: %v, %s has %d bytes now", c.args, err, name, len(got))
			}
		}
	}
	left, err := filepath.Glob("*")
	if err != nil || len(left) != 8 { // later leads nowhere
		t.Errorf("%v: left behind %v", err, left)
	}
	// Outputs that are files of their own, or none.
	traced(t, cli.ExitOK, append(strings.Fields("trace "+replay), "--jsonl-out", "/dev/null", "--divergence-out", "/dev/null", "--no-csv", "-q")...)
	traced(t, cli.ExitOK, append(strings.Fields("trace "+replay), "--jsonl-out", "later", "--divergence-out", "other.jsonl", "--no-csv", "-q")...)
}
