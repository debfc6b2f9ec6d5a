package main

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// benchL1 runs "lmcache bench l1" on a small tier for a short time.
func benchL1(ctx context.Context, t *testing.T, args ...string) (r *run, code int) {
	t.Helper()
	r = newRun(t, nil)
	all := []string{"bench", "l1", "--l1-size-gb", "64MiB", "--object-size-kb", "64", "--keys", "2000", "--duration", "30ms"}
	return r, r.app.Run(ctx, append(all, args...))
}

// With --json stdout is one list of objects with exactly these keys.
func TestBenchL1JSON(t *testing.T) {
	for args, want := range map[string]string{
		"":                           "publish reserve_finish lookup store retrieve",
		"--mix store --threads 2":    "publish reserve_finish store",
		"--mix read --with-events":   "lookup lookup_events retrieve retrieve_events",
		"--eviction-policy LRU":      "publish reserve_finish lookup store retrieve",
		"--batch 1 --mix read":       "lookup retrieve",
		"--keys 16 --no-progress":    "publish reserve_finish lookup store retrieve",
		"--object-size-kb 1 -q":      "",
		"--duration 0.03 --mix read": "lookup retrieve",
	} {
		r, code := benchL1(t.Context(), t, append(strings.Fields(args), "--json")...)
		if code != cli.ExitOK {
			t.Errorf("%s: exit code %d, %s", args, code, r.stderr.String())
			continue
		}
		if want == "" {
			if r.stdout.Len() > 0 {
				t.Errorf("%s: stdout %s", args, r.stdout.String())
			}
			continue
		}
		var list []map[string]any
		if err := json.Unmarshal(r.stdout.Bytes(), &list); err != nil {
			t.Fatalf("%s: %v:\n%s", args, err, r.stdout.String())
		}
		var names []string
		for _, m := range list {
			names = append(names, m["name"].(string))
			if keys := slices.Sorted(maps.Keys(m)); strings.Join(keys, " ") != "baseline name p99 ratio unit value" {
				t.Errorf("%s: keys %v", args, keys)
			}
			if m["value"].(float64) <= 0 || m["baseline"].(float64) <= 0 {
				t.Errorf("%s: %v", args, m)
			}
		}
		if strings.Join(names, " ") != want {
			t.Errorf("%s: %v, want %s", args, names, want)
		}
	}
}

func TestBenchL1Report(t *testing.T) {
	r, code := benchL1(t.Context(), t, "--mix", "read")
	if code != cli.ExitOK {
		t.Fatalf("exit code %d, %s", code, r.stderr.String())
	}
	for _, want := range []string{"===================== L1 Benchmark Result ======================\n", "Plain copy (GB/s):", "Ratio:", "Allocations / call:"} {
		if !strings.Contains(r.stdout.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, r.stdout.String())
		}
	}
}

func TestBenchL1Refusals(t *testing.T) {
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"--keys 4":               {cli.ExitUsage, "lmcache: error: l1bench: Keys: must be at least one batch of 16, got 4\n"},
		"--object-size-kb 65536": {cli.ExitUsage, "lmcache: error: l1bench: L1.Bytes: must hold a batch of 16 objects for each thread and one more"},
		"--l1-size-gb 1000000":   {cli.ExitFailed, "lmcache: error: --l1-size-gb: "},
		"--mix write":            {cli.ExitUsage, "lmcache: error: --mix: "},
	} {
		r, code := benchL1(t.Context(), t, strings.Fields(args)...)
		if code != want.code || !strings.HasPrefix(r.stderr.String(), want.text) {
			t.Errorf("%s: exit code %d, %s", args, code, r.stderr.String())
		}
	}
}

// An interrupted run prints what it has, marked, and ends with 130.
func TestREQ_C21_InterruptedBenchL1(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&cli.InterruptedError{Signal: syscall.SIGINT})
	r, code := benchL1(ctx, t)
	if code != cli.ExitInterrupt || !strings.Contains(r.stdout.String(), "Interrupted:                                                True\n") {
		t.Errorf("exit code %d, %s", code, r.stdout.String())
	}
}
