package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace/replay"
)

// summaryOf reads what --json writes.
func summaryOf(t *testing.T, dir string) (s struct {
	Digest     string         `json:"outcome_digest"`
	Hits       map[string]any `json:"hits"`
	Divergence struct {
		Compared int64              `json:"compared"`
		Diverged int64              `json:"diverged"`
		First    *replay.Divergence `json:"first"`
	} `json:"divergence"`
},
) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "trace_replay_summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// A recording of a live run with one request at a time is what a replay in virtual time
// decides, and half of the memory is not.
func TestREQ_T26_LiveRunInVirtualTime(t *testing.T) {
	dir := t.TempDir()
	lct := filepath.Join(dir, "run.lct")
	traced(t, cli.ExitOK, "bench", "workload", "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--concurrency", "1", "--limit", "150", "--quiet",
		"--trace-level", "storage", "--trace-output", lct)
	run := func(code int, more ...string) string {
		args := append([]string{"trace", "replay", lct, "--pacing", "virtual", "--no-csv", "--json", "--output-dir", dir, "--no-progress"}, more...)
		stdout, stderr := traced(t, code, args...)
		if strings.Contains(stderr, "MISMATCH MAY CAUSE") {
			t.Error("a banner about the machine, which has no influence")
		}
		return stdout
	}
	out := run(cli.ExitOK, "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--fail-on-divergence", "--require-digest", "--strict")
	same := summaryOf(t, dir)
	if same.Divergence.Diverged != 0 || same.Divergence.Compared < 300 || len(same.Digest) != 64 || !strings.Contains(out, same.Digest[:16]) {
		t.Errorf("%+v in\n%s", same, out)
	}
	run(cli.ExitOK, "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--seed", "7")
	if again := summaryOf(t, dir); again.Digest != same.Digest {
		t.Errorf("digest %s, want %s: nothing here is random", again.Digest, same.Digest)
	}

	lines := filepath.Join(dir, "divergences.jsonl")
	out = run(cli.ExitFailed, "--l1-size-gb", "64MiB", "--eviction-policy", "noop", "--divergence-out", lines, "--fail-on-divergence")
	other := summaryOf(t, dir)
	if other.Digest == same.Digest || other.Divergence.Diverged == 0 || other.Divergence.First == nil || !strings.Contains(out, "Not as recorded") {
		t.Errorf("%+v in\n%s", other, out)
	}
	data, err := os.ReadFile(lines)
	if n := int64(strings.Count(string(data), "\n")); err != nil || n != other.Divergence.Diverged {
		t.Errorf("%d lines, %d divergences, %v", n, other.Divergence.Diverged, err)
	}

	out = run(cli.ExitOK, "--l1-size-gb", "64MiB", "--eviction-policy", "LRU",
		"--l2-adapter", `{"type": "fs", "base_path": "/nowhere/at/all", "max_capacity_gb": 1}`, "--l2-model", "fs=1ms:100MB/s")
	if !strings.Contains(out, "Bytes written to L2") {
		t.Errorf("no tier in\n%s", out)
	}
	run(cli.ExitOK, "--l1-size-gb", "15TiB", "--eviction-policy", "LRU") // needs no memory
}

// The tiers of a recording are part of its configuration, whatever the pacing.
func TestReplayUnderTheSameTiers(t *testing.T) {
	dir := t.TempDir()
	lct := filepath.Join(dir, "run.lct")
	config := []string{"--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--l2-adapter", `{"type": "mem", "max_size_gb": 1}`}
	traced(t, cli.ExitOK, append([]string{"bench", "workload", "--limit", "30", "--quiet", "--trace-level", "storage", "--trace-output", lct}, config...)...)
	for _, pacing := range []string{"fast", "virtual"} {
		out, _ := traced(t, cli.ExitOK, append([]string{"trace", "replay", lct, "--pacing", pacing, "--no-csv", "--no-progress", "--require-digest"}, config...)...)
		if !strings.Contains(out, "match (") {
			t.Errorf("%s: no match in\n%s", pacing, out)
		}
	}
	_, stderr := traced(t, cli.ExitFailed, append([]string{"trace", "replay", lct, "--pacing", "virtual", "--no-csv", "--require-digest"}, config[:4]...)...)
	if !strings.Contains(stderr, "under another configuration") {
		t.Errorf("without the tier: %s", stderr)
	}
}

func TestVirtualRefuses(t *testing.T) {
	_, stderr := traced(t, cli.ExitUsage, "trace", "replay", sample, "--l1-size-gb", "1", "--eviction-policy", "LRU", "--pacing", "virtual",
		"--speed", "2", "--verify", "--prometheus-port", "0", "--l2-model", "fs=1", "--l2-adapter", `{"type": "fault_inject", "inner": {"type": "mem", "max_size_gb": 1}}`)
	for _, text := range []string{
		"--speed: has no effect", "--verify: has no effect", "--prometheus-port: has no effect", `--l2-model: "fs=1": must be NAME=LATENCY:BANDWIDTH`,
		"there are no figures for fault_inject in virtual time: give --l2-model fault_inject=LATENCY:BANDWIDTH",
	} {
		if !strings.Contains(stderr, text) {
			t.Errorf("%q is not in\n%s", text, stderr)
		}
	}
	_, stderr = traced(t, cli.ExitUsage, "trace", "replay", sample, "--l1-size-gb", "1", "--eviction-policy", "LRU", "--workers", "2", "--l2-model", "fs=1ms:1GB/s")
	if !strings.Contains(stderr, "--l2-model: takes effect with --pacing virtual only") || !strings.Contains(stderr, "--workers: takes effect with --pacing fast only") {
		t.Errorf("stderr:\n%s", stderr)
	}
}

// A tier that is probed is measured before the run, and the constants that are printed
// are those of the run.
func TestProbedModel(t *testing.T) {
	dir := t.TempDir()
	lct := filepath.Join(dir, "run.lct")
	traced(t, cli.ExitOK, "trace", "convert", "--limit", "40", "--output", lct, "-q")
	tier := filepath.Join(dir, "tier")
	run := func(code int, model string, more ...string) (stdout, stderr string) {
		return traced(t, code, append([]string{
			"trace", "replay", lct, "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--pacing", "virtual", "--no-csv", "--no-progress", "--json", "--output-dir", dir,
			"--l2-adapter", `{"type": "fs", "base_path": "` + tier + `", "max_capacity_gb": 4}`, "--l2-model", model,
		}, more...)...)
	}
	stdout, stderr := run(cli.ExitOK, "fs=probe")
	const says = "lmcache: --l2-adapter 1 was measured: --l2-model fs="
	if !strings.HasPrefix(stderr, says) || strings.Count(stderr, "\n") != 1 {
		t.Fatalf("stderr %q", stderr)
	}
	found := strings.TrimSpace(strings.TrimPrefix(stderr, says))
	if _, m, err := parseModel("fs=" + found); err != nil || m.Latency <= 0 || m.Latency > time.Minute || m.BytesPerSecond < 1e5 {
		t.Errorf("found %s, which is %+v, %v", found, m, err)
	}
	if !strings.Contains(stdout, "fs="+found) {
		t.Errorf("%s is not in\n%s", found, stdout)
	}
	digest := summaryOf(t, dir).Digest
	if run(cli.ExitOK, "fs="+found); summaryOf(t, dir).Digest != digest {
		t.Error("a run with the constants that were printed is another one")
	}
	left := 0
	err := filepath.WalkDir(tier, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasPrefix(d.Name(), ".") {
			left++
		}
		return err
	})
	if err != nil || left > 0 {
		t.Errorf("%v: %d objects are left in the tier", err, left)
	}
	if _, stderr = run(cli.ExitOK, "fs=probe", "-q"); stderr != "" {
		t.Errorf("quiet: %q", stderr)
	}
	if err := os.RemoveAll(tier); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tier, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr = run(cli.ExitFailed, "fs=probe"); !strings.HasPrefix(stderr, "lmcache: error: --l2-model fs=probe: ") {
		t.Errorf("a tier that is none: %q", stderr)
	}
	for want, times := range map[string][2][2]time.Duration{
		"150µs:8.39GB/s": {{100 * time.Microsecond, 200 * time.Microsecond}, {2150 * time.Microsecond, 2150 * time.Microsecond}},
		"20ms:0.839GB/s": {{20 * time.Millisecond, 20 * time.Millisecond}, {40 * time.Millisecond, 40 * time.Millisecond}},
		"1µs:33600GB/s":  {{time.Microsecond, time.Microsecond}, {time.Microsecond, time.Microsecond}},
	} {
		if got := modelText(modelFrom(times[0], times[1])); got != want {
			t.Errorf("%v: got %s, want %s", times, got, want)
		}
	}
}

func TestParseModel(t *testing.T) {
	name, m, err := parseModel("fs=200us:5GB/s")
	if want := (storage.Model{Latency: 200 * time.Microsecond, BytesPerSecond: 5e9}); err != nil || name != "fs" || m != want {
		t.Errorf("%s %+v %v", name, m, err)
	}
	for _, text := range []string{"", "fs", "fs=", "fs=1ms", "fs=1:1GB/s", "fs=-1ms:1GB/s", "fs=1ms:0GB/s", "fs=1ms:xGB/s", "fs=1ms:1", "=1ms:1GB/s", "fs=1ms:1e300GB/s"} {
		if _, _, err := parseModel(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
	mock := l2.Config{Settings: l2.Settings{Type: "mock"}, Shown: map[string]any{"mock_bandwidth_gb": 2.5, "latency_ms": 3.0}}
	if m, ok := modelOf(&mock); !ok || m.Latency != 3*time.Millisecond || m.BytesPerSecond != 25e8 {
		t.Errorf("mock: %+v %v", m, ok)
	}
}
