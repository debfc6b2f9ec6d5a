package export_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/observe"
)

// later are the names of later releases, by ours: observability.md §5.13, without the
// prefix lmcache_mp_.
const later = `
l1_read_keys_total l1_read_chunks_total
l1_write_keys_total l1_write_chunks_total
l1_evicted_keys_total l1_evicted_chunks_total
real_reuse_gap_chunks real_reuse_gap_objects
l2_store_tasks_total l2_store_submitted_requests_total
l2_store_keys_total l2_store_submitted_objects_chunks_total
l2_store_completed_total l2_store_completed_requests_total
l2_store_succeeded_keys_total l2_store_completed_objects_chunks_total
l2_prefetch_lookups_total l2_prefetch_lookup_requests_total
l2_prefetch_lookup_keys_total l2_prefetch_lookup_objects_chunks_total
l2_prefetch_load_tasks_total l2_prefetch_load_submitted_requests_total
l2_prefetch_load_keys_total l2_prefetch_load_submitted_objects_chunks_total
l2_prefetch_loaded_keys_total l2_prefetch_load_completed_chunks_total
l2_load_completed_total l2_load_completed_requests_total
l1_allocation_failure_total l1_allocation_failure_chunks_total
l1_read_failure_total l1_read_failure_chunks_total
l2_prefetch_failure_total l2_prefetch_failure_chunks_total
l0_l1_store_throughput_gbs l0_l1_store_throughput_GB_per_second
l0_l1_load_throughput_gbs l0_l1_load_throughput_GB_per_second
l2_store_throughput_gbs l2_store_throughput_GB_per_second
l2_load_throughput_gbs l2_load_throughput_GB_per_second
lookups_total lookups_requests_total
lookup_early_exit_total lookup_early_exit_requests_total
l2_evicted_objects_total l2_evicted_objects_chunks_total`

// REQ-O28: exactly the 24 names are added, each with the points of its metric, also
// where the handler is mounted elsewhere, and nothing else changes.
func TestREQ_O28_laterNames(t *testing.T) {
	aliases := make(map[string]string)
	for line := range strings.Lines(strings.TrimSpace(later)) {
		f := strings.Fields(line)
		aliases["lmcache_mp_"+f[1]] = "lmcache_mp_" + f[0]
	}
	if len(aliases) != 24 {
		t.Fatalf("%d names", len(aliases))
	}
	r := newRig(t, eventbus.Options{Manual: true}, observe.Options{SampleRate: 1, Compat: observe.CompatLater}, scriptSources())
	script(t, r)
	plain := newScripted(t)
	script(t, plain)
	w := httptest.NewRecorder()
	r.m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/elsewhere", http.NoBody))
	for where, got := range map[string]map[string]*dto.MetricFamily{"port": r.scrape(t), "handler": parse(t, w.Body.String())} {
		for alias, name := range aliases {
			a, m := got[alias], got[name]
			if a == nil || m == nil {
				t.Errorf("%s: %s (there: %v) for %s (there: %v)", where, alias, a != nil, name, m != nil)
				continue
			}
			as, ms := &dto.MetricFamily{Metric: a.Metric, Type: a.Type}, &dto.MetricFamily{Metric: m.Metric, Type: m.Type}
			if !proto.Equal(as, ms) || len(a.Metric) == 0 {
				t.Errorf("%s: %s has other points than %s", where, alias, name)
			}
			delete(got, alias)
		}
		if diff := cmp.Diff(nonZero(series(plain.scrape(t))), nonZero(series(got))); diff != "" {
			t.Errorf("%s: what else changed (-none +later):\n%s", where, diff)
		}
	}
}
