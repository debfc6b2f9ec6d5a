package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// A server shows the digest of its configuration, the age of its loops and what its
// subscribers cost, and has the later names where they are asked for: on both ports.
func TestServerMetrics(t *testing.T) {
	s := serve(t, "--metrics-compat", "later", "--request-log", "-", "--span-output", t.TempDir()+"/spans")
	config := `{"chunk_size": 256, "l1": {"align_bytes": 4096, "eviction": {"mode": "exact", "policy": "LRU"}, "quotas": {}, ` +
		`"read_ttl_seconds": 300, "size_bytes": 67108864, "write_ttl_seconds": 600}}`
	for _, url := range []string{s.urls["metrics"], s.urls["http"] + "/metrics"} {
		body := get(t, url)
		for _, line := range []string{
			fmt.Sprintf(`lmcache_mp_config_info{digest="%x"} 1`, sha256.Sum256([]byte(config))),
			`lmcache_mp_loop_last_tick_seconds{loop="event_bus"} `,
			`lmcache_mp_loop_last_tick_seconds{loop="l1_evictor"} 0`,
			`lmcache_mp_loop_last_tick_seconds{loop="sessions"} 0`,
			`lmcache_mp_loop_last_tick_seconds{loop="RequestLog"} `,
			`lmcache_mp_observability_cpu_seconds_total{subscriber_name="L1MetricsSubscriber"} `,
			`lmcache_mp_spans_leaked_total{kind="request"} 0`,
			`lmcache_mp_subscriber_overflow_total{state="sessions",subscriber_name="RequestLog"} 0`,
			`lmcache_mp_subscriber_overflow_total{state="sessions",subscriber_name="SpanSubscriber"} 0`,
			`lmcache_mp_l1_read_chunks_total 0`,
		} {
			if !strings.Contains(body, "\n"+line) {
				t.Errorf("%s lacks %s", url, line)
			}
		}
	}
	get(t, s.urls["http"]+"/readyz")
	get(t, s.urls["http"]+"/livez")
	if code, stderr := s.stop(errors.New("test")); code != 0 {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
}
