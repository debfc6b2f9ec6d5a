package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/servertest"
)

// serverArgs are those of a server that a dry run accepts.
func serverArgs(args ...string) []string {
	return append([]string{"server", "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--dry-run"}, args...)
}

// All problems of all adapters are told in one run, each with its adapter and key.
func TestAdapterProblems(t *testing.T) {
	r := newRun(t, nil)
	code := r.app.Run(t.Context(), serverArgs(
		"--l2-adapter", `{"type":"fs","base_pth":"/x","num_workers":0}`, "--l2-adapter", `{"type":"gcs"}`, "--l2-adapter", `{"type":"mem","max_size_gb":1}`,
		"--l2-adapter", `{"type":"fss"`))
	want := []string{
		"--l2-adapter 1: num_workers: must be between 1 and 256, got 0", "--l2-adapter 1: base_path: is required",
		`--l2-adapter 1: unknown key "base_pth"; did you mean "base_path"?`, `--l2-adapter 2: type: "gcs" is known to LMCache, not available here`,
		"--l2-adapter 4: invalid JSON: it ends too early",
	}
	if code != cli.ExitUsage || strings.Count(r.stderr.String(), "\n") != len(want) {
		t.Errorf("exit code %d, %d problems:\n%s", code, len(want), r.stderr.String())
	}
	for _, w := range want {
		if !strings.Contains(r.stderr.String(), "lmcache: error: "+w) {
			t.Errorf("%q is not in\n%s", w, r.stderr.String())
		}
	}
}

func TestAdapterWarnings(t *testing.T) {
	r := newRun(t, nil)
	code := r.app.Run(t.Context(), serverArgs("--l2-adapter", `{"type":"fs","base_path":"/x","format":"raw"}`, "--l1-read-ttl-seconds", "20", "--l2-prefetch-load-timeout", "5"))
	for _, w := range []string{"--l2-adapter 1 (fs): format raw: corrupt objects", "--l2-adapter 1 (fs): a call may take 30s, longer than --l1-read-ttl-seconds, 20s"} {
		if code != cli.ExitOK || !strings.Contains(r.stderr.String(), "lmcache: warning: "+w) {
			t.Errorf("exit code %d, %q is not in\n%s", code, w, r.stderr.String())
		}
	}
}

// L1 without eviction fills up, unless what is stored leaves it.
func TestNoopWithSkipL1(t *testing.T) {
	for policy, warns := range map[string]bool{"default": true, "skip_l1": false} {
		r := newRun(t, nil)
		code := r.app.Run(t.Context(), []string{
			"server", "--l1-size-gb", "64MiB", "--eviction-policy", "noop", "--dry-run", "--l2-adapter", `{"type":"mem","max_size_gb":1}`, "--l2-store-policy", policy,
		})
		if got := strings.Contains(r.stderr.String(), "L1 will fill and stay full"); code != cli.ExitOK || got != warns {
			t.Errorf("%s: exit code %d\n%s", policy, code, r.stderr.String())
		}
	}
}

// The plan shows what is in effect; objects of the configuration file need no quotes.
func TestAdaptersInFileAndPlan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	const text = "server:\n  l2-adapter:\n    - {type: fs, base_path: '${KV}', max_capacity_gb: 500}\n    - {type: mock, max_size_gb: 1, mock_bandwidth_gb: 2}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRun(t, map[string]string{"KV": "/var/kv"})
	code := r.app.Run(t.Context(), serverArgs("--config", path))
	for _, w := range []string{`L2 adapter 1: {"base_path":"/var/kv",`, `"max_capacity_gb":500,`, `L2 adapter 2: {`, `"mock_bandwidth_gb":2`} {
		if code != cli.ExitOK || !strings.Contains(r.stdout.String(), w) {
			t.Errorf("exit code %d, %q is not in\n%s%s", code, w, r.stdout.String(), r.stderr.String())
		}
	}
	if _, err := os.Stat("/var/kv"); err == nil {
		t.Error("a dry run has made the folder")
	}
}

// A second run finds on the disk what the first has left, and every byte is right.
func TestWorkloadWithATier(t *testing.T) {
	leak.Check(t)
	adapter := `{"type":"fs","base_path":"` + t.TempDir() + `","disk_min_free_gb":0,"max_capacity_gb":1}`
	var before float64
	for run := range 2 {
		r, code := bench(t, "--json", "--l2-adapter", adapter, "--l2-prefetch-policy", "retain")
		if code != cli.ExitOK {
			t.Fatalf("exit code %d\n%s", code, r.stderr.String())
		}
		m := counts(t, r.stdout.String())
		hits := m["l2_hit_chunks"].(float64)
		if m["verify_failures"] != 0.0 || m["errors"] != 0.0 || m["optimal_hit_ratio"] != nil {
			t.Errorf("run %d: %v", run+1, m)
		}
		switch {
		case run == 0 && m["l2_written_bytes"] == 0.0:
			t.Error("nothing was written")
		case run == 1 && (m["hit_chunks"].(float64) <= before || hits == 0 || m["l2_read_bytes"] == 0.0):
			t.Errorf("%v hits, %v of them from the disk; %v in the run before", m["hit_chunks"], hits, before)
		}
		before = m["hit_chunks"].(float64)
	}
}

// A folder on a disk that is smaller than its capacity is told, and used all the same.
func TestCapacityBeyondTheDisk(t *testing.T) {
	for capacity, warns := range map[string]bool{"1": false, "100000000": true} {
		r, code := bench(t, "--limit", "5", "--l2-adapter", `{"type":"fs","base_path":"`+t.TempDir()+`","disk_min_free_gb":0,"max_capacity_gb":`+capacity+`}`)
		if got := strings.Contains(r.stderr.String(), "max_capacity_gb bounds nothing"); code != cli.ExitOK || got != warns {
			t.Errorf("%s GB: exit code %d\n%s", capacity, code, r.stderr.String())
		}
	}
}

// What cannot be opened ends the command, by the number of the adapter, and nothing
// stays open.
func TestAdapterThatCannotBeOpened(t *testing.T) {
	leak.Check(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, code := bench(t, "--l2-adapter", `{"type":"mem","max_size_gb":1}`, "--l2-adapter", `{"type":"fs","base_path":"`+file+`"}`)
	if code != cli.ExitFailed || !strings.Contains(r.stderr.String(), "lmcache: error: --l2-adapter 2 (fs): l2/fs: base path ") {
		t.Errorf("exit code %d\n%s", code, r.stderr.String())
	}
}

// A tier that refuses its test object is told by the flag that configures it, once, with
// what the store said.
func TestTierThatRefuses(t *testing.T) {
	leak.Check(t)
	s := servertest.Redis(t, "--requirepass", "secret")
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	r, code := bench(t, "--l2-adapter", `{"type":"mem","max_size_gb":1}`,
		"--l2-adapter", `{"type":"resp","host":"`+host+`","port":`+port+`,"password":"wrong"}`)
	want := "lmcache: error: --l2-adapter 2 (resp): start probe: store: resp: " + s.Addr + ": refused by the store: WRONGPASS "
	if code != cli.ExitFailed || !strings.HasPrefix(r.stderr.String(), want) || strings.Count(r.stderr.String(), "\n") != 1 {
		t.Errorf("exit code %d\n%s", code, r.stderr.String())
	}
}

// A run with another seed on the files of an earlier one finds nothing of it, and above all
// no wrong bytes.
func TestSeedsShareNoObjects(t *testing.T) {
	leak.Check(t)
	adapter := `{"type":"fs","base_path":"` + t.TempDir() + `","disk_min_free_gb":0,"max_capacity_gb":1}`
	var l2Hits []int64
	for _, seed := range []string{"1", "2", "2"} {
		r, code := bench(t, "--limit", "40", "--l1-capacity-chunks", "60", "--bytes-per-token", "64", "--seed", seed, "--l2-adapter", adapter, "--json")
		if code != cli.ExitOK {
			t.Fatalf("seed %s: exit code %d\n%s", seed, code, r.stderr.String())
		}
		var got struct {
			Wrong int64 `json:"verify_failures"`
			L2    int64 `json:"l2_hit_chunks"`
		}
		if err := json.Unmarshal(r.stdout.Bytes(), &got); err != nil || got.Wrong != 0 {
			t.Errorf("seed %s: %+v, %v", seed, got, err)
		}
		l2Hits = append(l2Hits, got.L2)
	}
	if l2Hits[2] <= l2Hits[1] {
		t.Errorf("hits of the files %v: the third run has those of the second", l2Hits)
	}
}
