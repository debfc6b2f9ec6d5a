package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli"
)

const smallBench = " --num-keys 8 --in-flight 2 --data-size-kb 64 --rounds 2"

// benchL2 runs "lmcache bench l2" on some adapters.
func benchL2(ctx context.Context, t *testing.T, args string, env map[string]string, adapters ...string) (r *run, code int) {
	t.Helper()
	r = newRun(t, env)
	all := append([]string{"bench", "l2"}, strings.Fields(args)...)
	for _, a := range adapters {
		all = append(all, "--l2-adapter", a)
	}
	return r, r.app.Run(ctx, all)
}

// keysOf lists the keys of a JSON object in their order.
func keysOf(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	var keys []string
	for depth := 0; dec.More() || depth > 1; {
		token, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		switch v := token.(type) {
		case json.Delim:
			if v == '{' {
				depth++
			} else {
				depth--
			}
		case string:
			keys = append(keys, v)
			var skip any
			if err := dec.Decode(&skip); err != nil {
				t.Fatal(err)
			}
		}
	}
	return strings.Join(keys, " ")
}

// The JSON form has LMCache's keys and ours behind them, and stdout nothing else.
func TestBenchL2JSON(t *testing.T) {
	const operation = "operation rounds rounds_timed_out keys_per_round total_keys total_success " +
		"duration_avg_ms duration_min_ms duration_max_ms duration_p50_ms duration_p99_ms duration_std_ms " +
		"throughput_avg_mbps throughput_min_mbps throughput_max_mbps ops_per_sec_avg latency_per_key_ms"
	dir := t.TempDir()
	r, code := benchL2(t.Context(), t, "--json"+smallBench, nil,
		fmt.Sprintf(`{"type": "fs", "base_path": %q, "use_odirect": true}`, dir), `{"type": "mem", "max_size_gb": 1}`)
	if code != cli.ExitOK {
		t.Fatalf("exit code %d, %s", code, r.stderr.String())
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(r.stdout.Bytes(), &all); err != nil {
		t.Fatalf("%v:\n%s", err, r.stdout.String())
	}
	if got := keysOf(t, r.stdout.Bytes()); got != "config op_0 op_1 op_2 config_2 op_0_2 op_1_2 op_2_2" {
		t.Errorf("sections %s", got)
	}
	if got := keysOf(t, all["config"]); got != "l2_adapter_json num_keys in_flight keys_per_round data_size_kb data_per_round_mb measurement_rounds warmup_rounds lookup_max_hit_rate" {
		t.Errorf("configuration %s", got)
	}
	for section, want := range map[string]string{
		"op_0": operation + " raw_io raw_throughput_avg_mbps raw_ratio", "op_1": operation, "op_2": operation + " raw_io raw_throughput_avg_mbps raw_ratio",
		"op_0_2": operation, "op_1_2": operation, "op_2_2": operation,
	} {
		if got := keysOf(t, all[section]); got != want {
			t.Errorf("%s: %s\nwant %s", section, got, want)
		}
		var v struct {
			Total   int `json:"total_keys"`
			Success int `json:"total_success"`
		}
		if err := json.Unmarshal(all[section], &v); err != nil || v.Total != 32 || v.Success != 32 {
			t.Errorf("%s: %+v, %v", section, v, err)
		}
	}
	if got := strings.Count(r.stderr.String(), "[Init] Adapter created successfully ("); got != 2 {
		t.Errorf("stderr: %s", r.stderr.String())
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The form for people, line by line.
func TestBenchL2Report(t *testing.T) {
	r, code := benchL2(t.Context(), t, smallBench, map[string]string{"L2_ADAPTER_JSON": `{"type": "mem", "max_size_gb": 1}`})
	if code != cli.ExitOK {
		t.Fatalf("exit code %d, %s", code, r.stderr.String())
	}
	out := regexp.MustCompile(` +[0-9.]+\n`).ReplaceAllString(r.stdout.String(), " #\n")
	out = regexp.MustCompile(`Round (\d): [0-9.]+ ms`).ReplaceAllString(out, "Round $1: # ms")
	want, err := os.ReadFile("testdata/bench_l2.txt")
	if err != nil {
		t.Fatal(err)
	}
	if out != string(want) {
		t.Errorf("the report is\n%s\nwant\n%s", out, want)
	}
	if r.stderr.Len() > 0 {
		t.Errorf("stderr: %s", r.stderr.String())
	}
	if r, _ := benchL2(t.Context(), t, "-q"+smallBench, nil, `{"type": "mem", "max_size_gb": 1}`); r.stdout.Len() > 0 || r.stderr.Len() > 0 {
		t.Errorf("with -q: %s%s", r.stdout.String(), r.stderr.String())
	}
}

func TestBenchL2Refusals(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args, adapter string
		code          int
		want          string
	}{
		{"", "", cli.ExitUsage, "--l2-adapter: is required\n"},
		{"", "{", cli.ExitUsage, "--l2-adapter 1: "},
		{"", `{"type": "fs"}`, cli.ExitUsage, "--l2-adapter 1: base_path: is required\n"},
		{"", `{"type": "dax"}`, cli.ExitUsage, `--l2-adapter 1: type: "dax" is known to LMCache, not available here`},
		{"", `{"type": "fs", "base_path": "` + file + `"}`, cli.ExitFailed, "l2/fs: base path "},
		{"--l1-align-bytes 3", `{"type": "mem", "max_size_gb": 1}`, cli.ExitUsage, "--l1-align-bytes: must be a power of two, got 3\n"},
		{"--data-size-kb 1048576 --num-keys 1000000", `{"type": "mem", "max_size_gb": 1}`, cli.ExitFailed, "--data-size-kb: "},
		{"--only delete", `{"type": "mem", "max_size_gb": 1}`, cli.ExitUsage, "--only: "},
		{"--flamegraph", `{"type": "mem", "max_size_gb": 1}`, cli.ExitUsage, "--flamegraph is not supported by lmcache-go"},
		{"", `{"type": "mem", "max_size_gb": 0.0001}`, cli.ExitFailed, "store: 26 keys failed: no_space (mem: no space left in the store); lookup: 26 of 32 keys are missing; load: 26 keys failed: not_found (not found)\n"},
		{"--only load --num-keys 1 --in-flight 1", `{"type": "fault_inject", "rate": 1, "inner": {"type": "mem", "max_size_gb": 1}}`, cli.ExitFailed, "load: 1 keys failed: not_found ("},
	} {
		var adapters []string
		if c.adapter != "" {
			adapters = []string{c.adapter}
		}
		args := c.args
		if !strings.Contains(args, "--num-keys") {
			args += " --num-keys 32 --data-size-kb 16 --warmup-rounds 0"
		}
		r, code := benchL2(t.Context(), t, args, nil, adapters...)
		text := r.stderr.String()
		text = text[strings.Index(text, "lmcache: error: ")+len("lmcache: error: "):]
		if code != c.code || !strings.HasPrefix(text, c.want) {
			t.Errorf("%s %s: exit code %d, %s\nwant %d, %s", c.args, c.adapter, code, r.stderr.String(), c.code, c.want)
		}
	}
}

// An interrupted run prints what it has, marked, and ends with 130.
func TestREQ_C21_InterruptedBenchL2(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&cli.InterruptedError{Signal: syscall.SIGINT})
	r, code := benchL2(ctx, t, smallBench, nil, `{"type": "mem", "max_size_gb": 1}`)
	if code != cli.ExitInterrupt || !strings.Contains(r.stdout.String(), "Interrupted:                                                True\n") {
		t.Errorf("exit code %d, %s%s", code, r.stdout.String(), r.stderr.String())
	}
}
