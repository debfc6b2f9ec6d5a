package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/trace"
)

// recorded is what a file has: calls, and whether it was closed.
func recorded(t *testing.T, path string) (calls int64, end *trace.End, damage string) {
	t.Helper()
	f, err := trace.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range f.Records() {
		if err != nil {
			damage += err.Error()
			continue
		}
		if e, ok, err := r.End(); ok {
			if err != nil {
				t.Error(err)
			}
			end = &e
			continue
		}
		if _, err := r.Call(); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
		calls++
	}
	return calls, end, damage
}

func TestRecordAWorkload(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "run.lct")
	r := newRun(t, nil)
	code := r.app.Run(t.Context(), []string{
		"bench", "workload", "--limit", "20", "--l1-size-gb", "64MiB", "--trace-level", "storage", "--trace-output", path, "--log-level", "INFO", "-q",
	})
	if code != cli.ExitOK {
		t.Fatalf("exit code %d:\n%s", code, r.stderr.String())
	}
	calls, end, damage := recorded(t, path)
	if calls < 100 || end == nil || end.Records != calls || end.Dropped != 0 || damage != "" {
		t.Errorf("%d calls, end %v, %s", calls, end, damage)
	}
	for _, want := range []string{"INFO: trace recorder writing to " + path + " (level=storage)", "INFO: trace recorder closed cleanly: " + path} {
		if !strings.Contains(r.stderr.String(), want) {
			t.Errorf("no %q in\n%s", want, r.stderr.String())
		}
	}
	f, err := trace.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h := f.Header()
	want := `{"chunk_size": 512, "l1": {"align_bytes": 4096, "eviction": {"mode": "exact", "policy": "LRU"}, "quotas": {}, ` +
		`"read_ttl_seconds": 300, "size_bytes": 67108864, "write_ttl_seconds": 600}}`
	if h.Config != want || h.Digest != trace.Digest(want) {
		t.Errorf("configuration %s\nwant          %s", h.Config, want)
	}
}

// REQ-T17, REQ-T15: a server without --trace-output says where it records, and
// SIGTERM closes the file.
func TestServerRecords(t *testing.T) {
	leak.Check(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	s := serve(t, "--trace-level", "storage")
	code, stderr := s.stop(&cli.InterruptedError{Signal: syscall.SIGTERM})
	const says = "INFO: trace recording enabled (level=storage); no --trace-output given, writing to "
	_, path, ok := strings.Cut(stderr, says)
	path, _, _ = strings.Cut(path, " ")
	if code != cli.ExitOK || !ok || !strings.HasPrefix(path, tmp) {
		t.Fatalf("exit code %d:\n%s", code, stderr)
	}
	if calls, end, damage := recorded(t, path); end == nil || end.Records != calls || damage != "" {
		t.Errorf("%d calls, end %v, %s", calls, end, damage)
	}
	if !strings.Contains(stderr, "INFO: trace recorder closed cleanly: "+path) {
		t.Errorf("stderr:\n%s", stderr)
	}
}

// TestREQ_T19_Refusals: what does not fit, in one run, and what this machine cannot do.
func TestREQ_T19_Refusals(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args string
		code int
		want []string
	}{
		{"--trace-level events", cli.ExitUsage, []string{"lmcache: error: unsupported trace level 'events'; only 'storage' is supported"}},
		{"--trace-level storage --disable-observability", cli.ExitUsage, []string{"lmcache: error: --trace-level requires the observability EventBus; remove --disable-observability."}},
		{"--trace-output x.lct --trace-overflow drop", cli.ExitUsage, []string{
			"lmcache: error: --trace-output: takes effect with --trace-level only", "lmcache: error: --trace-overflow: takes effect with --trace-level only",
		}},
		{"--trace-level storage --trace-max-files 3", cli.ExitUsage, []string{"lmcache: error: --trace-max-files: has no effect without --trace-max-bytes"}},
		{"--trace-level storage --trace-queue-size 0 --trace-format new", cli.ExitUsage, []string{
			"--trace-queue-size: must be at least 1, got 0", `--trace-format: must be one of extended, plain, got "new"`,
		}},
		{"--trace-level storage --trace-output " + filepath.Join(dir, "none", "x.lct"), cli.ExitFailed, []string{"open " + filepath.Join(dir, "none", "x.lct") + ": no such file or directory"}},
	} {
		for _, command := range []string{"server --l1-size-gb 64MiB --eviction-policy LRU", "bench workload --limit 5 --l1-size-gb 64MiB -q"} {
			r := newRun(t, anyPorts)
			code := r.app.Run(t.Context(), strings.Fields(command+" "+c.args))
			if code != c.code {
				t.Errorf("%s %s: exit code %d, want %d:\n%s", command, c.args, code, c.code, r.stderr.String())
			}
			for _, want := range c.want {
				if !strings.Contains(r.stderr.String(), want) {
					t.Errorf("%s %s: no %q in\n%s", command, c.args, want, r.stderr.String())
				}
			}
		}
	}
}

// TestREQ_T15_Interrupted: a signal in the middle of the load closes the file in
// order, with everything that was called.
func TestREQ_T15_Interrupted(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "run.lct")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan int, 1)
	r := newRun(t, nil)
	go func() {
		ended <- r.app.Run(ctx, strings.Fields("bench workload --l1-size-gb 64MiB --no-optimal --no-verify -q --trace-level storage --trace-output "+path))
	}()
	waitForSize(t, path, 50_000)
	cancel(&cli.InterruptedError{Signal: syscall.SIGTERM})
	if code := <-ended; code != cli.ExitTerminate {
		t.Errorf("exit code %d:\n%s", code, r.stderr.String())
	}
	if calls, end, damage := recorded(t, path); calls < 20 || end == nil || end.Records != calls || end.Dropped != 0 || damage != "" {
		t.Errorf("%d calls, end %v, %s", calls, end, damage)
	}
}

// killedEnv makes the test binary record until it is killed.
const killedEnv = "LMCACHE_TEST_RECORD_TO"

// TestREQ_T15_Killed: kill -9 in the middle of recording leaves whole frames, at
// most one torn one behind them, and nothing that says that it was closed.
func TestREQ_T15_Killed(t *testing.T) {
	if path := os.Getenv(killedEnv); path != "" {
		r := newRun(t, nil)
		r.app.Run(context.Background(), strings.Fields("bench workload --limit 100000 --l1-size-gb 64MiB --linger 60 -q --no-optimal --trace-level storage --trace-output "+path))
		return
	}
	for i := range 3 {
		path := filepath.Join(t.TempDir(), strconv.Itoa(i)+".lct")
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestREQ_T15_Killed$")
		cmd.Env = append(os.Environ(), killedEnv+"="+path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitForSize(t, path, int64(20_000+100_000*i))
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it was killed
		calls, end, damage := recorded(t, path)
		if calls < 20 || end != nil {
			t.Errorf("%d calls, end %v", calls, end)
		}
		if damage != "" && (strings.Count(damage, "TraceReader") != 1 || !strings.Contains(damage, "truncated")) {
			t.Errorf("damage: %s", damage)
		}
	}
}

// waitForSize waits until a file has so many bytes.
func waitForSize(t *testing.T, path string, size int64) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if info, err := os.Stat(path); err == nil && info.Size() >= size {
			return
		}
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
}
