package main

import (
	"bytes"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOutput: one scrape has the host's counter and the cache's metrics, and the spans of
// the cache are in the traces of the host's requests.
func TestOutput(t *testing.T) {
	var out, log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if err := run(t.Context(), &out, logger); err != nil {
		t.Fatal(err)
	}
	type span struct{ id, trace, parent, name string }
	var spans []span
	var lines []string
	text := regexp.MustCompile(`^span (\w{16}) of trace (\w{32}), (?:no parent|parent (\w{16})): (\S+)$`)
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSpace(line)
		if m := text.FindStringSubmatch(line); m != nil {
			spans = append(spans, span{m[1], m[2], m[3], m[4]})
		} else {
			lines = append(lines, line)
		}
	}
	want := []string{
		`host_requests_total 2`,
		`lmcache_mp_l1_objects{state="reading"} 0`,
		`lmcache_mp_l1_objects{state="ready"} 4`,
		`lmcache_mp_l1_objects{state="writing"} 0`,
		`lmcache_mp_lookup_hit_tokens_total{cache_salt="",model_name="m"} 0`, // from the registration of the worker on
		`lmcache_mp_lookup_hit_tokens_total{cache_salt="tenant-a",model_name="m"} 128`,
		`lmcache_mp_lookup_requested_tokens_total{cache_salt="",model_name="m"} 0`,
		`lmcache_mp_lookup_requested_tokens_total{cache_salt="tenant-a",model_name="m"} 256`,
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("scrape (-want +got):\n%s", diff)
	}
	roots, traces := map[string]string{}, map[string]map[string]int{} // of the host; names of the cache's by trace
	for _, s := range spans {
		if s.name == "serve" {
			roots[s.id] = s.trace
		}
	}
	requests := map[string]string{}
	for _, s := range spans {
		if s.name == "request" {
			if roots[s.parent] != s.trace {
				t.Errorf("the cache's span %v is no child of one of the host's", s)
			}
			requests[s.id] = s.trace
		}
	}
	for _, s := range spans {
		if requests[s.parent] != "" && requests[s.parent] == s.trace {
			if traces[s.trace] == nil {
				traces[s.trace] = map[string]int{}
			}
			traces[s.trace][s.name]++
		}
	}
	if len(roots) != 2 || len(requests) != 2 || len(traces) != 2 {
		t.Errorf("%d spans of the host, %d requests, %d traces:\n%s", len(roots), len(requests), len(traces), out.String())
	}
	found := map[string]int{}
	for _, names := range traces {
		for name := range names {
			found[name]++
		}
	}
	if found["mp.lookup_prefetch"] != 2 || found["mp.store"] != 1 || found["mp.retrieve"] != 1 {
		t.Errorf("spans of the cache: %v", found)
	}
	if !strings.Contains(log.String(), "Stored 128 tokens") || !strings.Contains(log.String(), "MP lookup/prefetch end") {
		t.Errorf("the host's log:\n%s", log.String())
	}
}
