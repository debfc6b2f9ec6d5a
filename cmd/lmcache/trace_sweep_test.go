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
		"l1-size-gb":                 `"l1-size-gb": must be FLAG=VALUE,VALUE,…`,
		"l1-size-gb=":                "must be FLAG=VALUE",
		"l1-size-gb=0":               "must be more than 0",
		"port=1":                     `"port" cannot be swept; these can: eviction-mode,`,
		"eviction-policy=lru":        "must be one of LRU, IsolatedLRU, RecencyFrequency, noop",
		"eviction-ratio=2":           "must be a number from 0 to 1",
		"l2-prefetch-policy=default": "has no effect without --l2-adapter",
		"l1-size-gb=" + strings.Repeat("1,", 10_001) + "1": "more than 10000 configurations",
	} {
		_, stderr := traced(t, cli.ExitUsage, append(base, "--sweep", text)...)
		if !strings.Contains(stderr, want) {
			t.Errorf("%.40s: %q is not in\n%.300s", text, want, stderr)
		}
	}
	_, stderr := traced(t, cli.ExitUsage, append(base, "--sweep", "l1-size-gb=1,2", "--pacing", "fast", "--json")...)
	for _, want := range []string{"--sweep: needs --pacing virtual", "--json: has no effect with --sweep"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is not in\n%s", want, stderr)
		}
	}
	_, stderr = traced(t, cli.ExitUsage, append(base, "--parallel", "2")...)
	if !strings.Contains(stderr, "--parallel: has no effect without --sweep") {
		t.Errorf("stderr:\n%s", stderr)
	}
}
