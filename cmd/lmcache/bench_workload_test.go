package main

import (
	"context"
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
)

// bench runs "lmcache bench workload" with few requests and small objects.
func bench(t *testing.T, args ...string) (r *run, code int) {
	t.Helper()
	r = newRun(t, nil)
	all := append([]string{"bench", "workload", "--bytes-per-token", "16", "--limit", "40", "--l1-capacity-chunks", "300"}, args...)
	return r, r.app.Run(t.Context(), all)
}

// counts decodes a JSON document, which has to be the only thing there.
func counts(t *testing.T, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return m
}

// REQ-C6, REQ-C7: with --json stdout is one flat document whose keys are in the
// order of the specification; without a terminal nothing else is printed.
func TestWorkloadJSON(t *testing.T) {
	r, code := bench(t, "--json")
	if code != cli.ExitOK || r.stderr.Len() > 0 {
		t.Fatalf("exit code %d, %s", code, r.stderr.String())
	}
	m := counts(t, r.stdout.String())
	if m["requests"] != 40.0 || m["verify_failures"] != 0.0 || m["errors"] != 0.0 || m["capacity_chunks"] != 300.0 || m["policy"] != "LRU" {
		t.Errorf("values: %v", m)
	}
	var keys []string
	for _, line := range regexp.MustCompile(`(?m)^  "(\w+)":`).FindAllStringSubmatch(r.stdout.String(), -1) {
		keys = append(keys, line[1])
	}
	want := strings.Fields(`workload requests requested_tokens requested_chunks hit_chunks l1_hit_chunks l2_hit_chunks hit_ratio optimal_hit_ratio
		stored_chunks evicted_chunks dropped_chunks l2_lost_chunks retrieved_bytes stored_bytes l2_read_bytes l2_written_bytes verify_failures errors
		miss_reasons lookup_ms retrieve_ms store_ms capacity_chunks chunk_bytes concurrency policy seed
		events_dropped wall_seconds requests_per_second interrupted`)
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestWorkloadReport(t *testing.T) {
	file := filepath.Join(t.TempDir(), "result.txt")
	r, code := bench(t, "--output", file)
	if code != cli.ExitOK {
		t.Fatalf("exit code %d, %s", code, r.stderr.String())
	}
	for _, want := range []string{
		"======================= Workload Result ========================\n", "--------------------------- Workload ---------------------------\n",
		"----------------------------- Hits -----------------------------\n", "--------------------------- Latency ----------------------------\n",
	} {
		if !strings.Contains(r.stdout.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, r.stdout.String())
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != r.stdout.String() {
		t.Errorf("the file differs (%v):\n%s", err, got)
	}
	if strings.Contains(r.stdout.String()+r.stderr.String(), "\x1b") {
		t.Error("there are escape sequences")
	}
}

// Bad traces end with exit code 1, and their line number and reason.
func TestWorkloadBadTraces(t *testing.T) {
	good := `{"timestamp":0,"input_length":1024,"output_length":1,"hash_ids":[1,2]}` + "\n"
	for name, c := range map[string]struct{ text, want string }{
		"not JSON":       {good + "what\n", "line 2"},
		"too few ids":    {good + good + `{"timestamp":0,"input_length":2048,"output_length":1,"hash_ids":[1]}`, "line 3"},
		"nothing to ask": {`{"timestamp":0,"input_length":5,"output_length":1,"hash_ids":[1]}`, "asks for no full chunk"},
	} {
		file := filepath.Join(t.TempDir(), "t.jsonl")
		write(t, file, c.text)
		r, code := bench(t, "--json", file)
		if code != cli.ExitFailed || !strings.HasPrefix(r.stderr.String(), "lmcache: error: ") || !strings.Contains(r.stderr.String(), c.want) || strings.Count(r.stderr.String(), "\n") != 1 {
			t.Errorf("%s: exit code %d, %s", name, code, r.stderr.String())
		}
	}
	if r, code := bench(t, "/no/such/file"); code != cli.ExitFailed {
		t.Errorf("no file: exit code %d, %s", code, r.stderr.String())
	}
}

// REQ-C14: results come first; /metrics then shows the same counts for as long
// as the command lingers; an interrupt ends that with exit code 0.
func TestREQ_C14_Linger(t *testing.T) {
	leak.Check(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	r := newRun(t, nil)
	printed, ended := make(chan string, 1), make(chan int, 1)
	stdout := &watcher{text: "interrupted\": false\n}\n"}
	stdout.found = func() { printed <- stdout.buf.String() }
	stderr := &watcher{text: "\x00", found: func() {}}
	r.app.IO.Stdout, r.app.IO.Stderr = stdout, stderr
	go func() {
		ended <- r.app.Run(ctx, []string{
			"bench", "workload", "--bytes-per-token", "16", "--limit", "60", "--json", "--metrics-addr", "127.0.0.1:0", "--linger", "1h",
		})
	}()
	var result map[string]any
	select {
	case text := <-printed:
		result = counts(t, text)
	case code := <-ended:
		t.Fatalf("ended with exit code %d: %s", code, stderr.String())
	}
	url := regexp.MustCompile(`metrics: (\S+)`).FindStringSubmatch(stderr.String())
	if url == nil {
		t.Fatalf("no address of metrics:\n%s", stderr.String())
	}
	if result["hit_chunks"] == 0.0 {
		t.Error("nothing hit: the comparison below says little")
	}
	scrape := get(t, url[1])
	chunk := 512.0
	for name, want := range map[string]float64{
		"lmcache_mp_lookup_requested_tokens_total": result["requested_chunks"].(float64) * chunk,
		"lmcache_mp_lookup_hit_tokens_total":       result["hit_chunks"].(float64) * chunk,
	} {
		if got := sum(scrape, name); got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	cancel(&cli.InterruptedError{Signal: syscall.SIGINT})
	if code := <-ended; code != cli.ExitOK {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

// sum adds the values of all series of a name.
func sum(scrape, name string) float64 {
	total := 0.0
	for _, m := range regexp.MustCompile(`(?m)^`+name+`(?:\{[^}]*\})? (\S+)$`).FindAllStringSubmatch(scrape, -1) {
		var v float64
		if json.Unmarshal([]byte(m[1]), &v) == nil {
			total += v
		}
	}
	return total
}

// REQ-C21: an interrupted run prints what it has, marked, and ends with 130.
func TestREQ_C21_InterruptedWorkload(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&cli.InterruptedError{Signal: syscall.SIGINT})
	r := newRun(t, nil)
	code := r.app.Run(ctx, []string{"bench", "workload", "--json"})
	if code != cli.ExitInterrupt {
		t.Errorf("exit code %d: %s", code, r.stderr.String())
	}
	if m := counts(t, r.stdout.String()); m["interrupted"] != true {
		t.Errorf("result: %v", m)
	}
}
