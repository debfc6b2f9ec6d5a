package export_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/observe"
)

// host is an engine over a fake device. A chunk is 16 tokens in 2 blocks and an
// object 1024 bytes; L1 holds four of them.
type host struct {
	t      *testing.T
	rig    *rig
	eng    *lmcache.Engine
	worker *lmcache.Worker
	served int // requests
}

func newHost(t *testing.T) *host {
	t.Helper()
	r := newRig(t, eventbus.Options{}, observe.Options{}, observe.Sources{})
	h := newHostOn(t, r.bus)
	h.rig = r
	if err := r.ob.Watch(observe.Sources{Engine: h.eng, Bus: r.bus}); err != nil {
		t.Fatal(err)
	}
	return h
}

// newHostOn is newHost with a bus of the caller's, which may be nil.
func newHostOn(t *testing.T, bus *eventbus.Bus) *host {
	t.Helper()
	h := &host{t: t}
	dev := fake.New(fake.Options{})
	var err error
	if h.eng, err = lmcache.Open(t.Context(), lmcache.Options{
		ChunkTokens: 16, L1: l1.Options{Bytes: 4096, Align: 64}, Bus: bus,
	}); err != nil {
		t.Fatal(err)
	}
	cache, err := dev.NewPaged(gpu.Shape{Layers: 2, Blocks: 16, BlockTokens: 8, Heads: 2, HeadSize: 4, DType: "float16"})
	if err != nil {
		t.Fatal(err)
	}
	if h.worker, err = h.eng.Attach(lmcache.WorkerOptions{Model: "m", Backend: dev, Cache: cache}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.eng.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// prompt is n tokens that no other first differs from.
func prompt(first int32, n int) []int32 {
	tokens := make([]int32, n)
	for i := range tokens {
		tokens[i] = first + int32(i)
	}
	return tokens
}

// blocks are those of n chunks.
func blocks(n int) [][]gpu.BlockID {
	ids := make([]gpu.BlockID, 2*n)
	for i := range ids {
		ids[i] = gpu.BlockID(i)
	}
	return [][]gpu.BlockID{ids}
}

// serve does what a serving loop does with one request.
func (h *host) serve(tokens []int32, wantHit int) {
	h.t.Helper()
	h.served++
	s := h.eng.Session(lmcache.Request{ID: fmt.Sprintf("r%d", h.served), Model: "m"})
	match := s.Lookup(h.t.Context(), tokens)
	hit, err := match.Tokens(h.t.Context())
	if err != nil || hit != wantHit {
		h.t.Fatalf("hit %d tokens, %v, want %d", hit, err, wantHit)
	}
	if hit > 0 {
		h.wait(h.worker.Retrieve(h.t.Context(), match, blocks(len(tokens)/16), nil))
	}
	if len(tokens) >= 16 {
		h.wait(h.worker.Store(h.t.Context(), s, tokens, blocks(len(tokens)/16), nil))
	}
	if err := s.Close(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) wait(tr *lmcache.Transfer, err error) {
	h.t.Helper()
	if err == nil {
		err = tr.Wait(h.t.Context())
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// A real engine gives the hand-computed values: REQ-O2, O6, O14, O15, O17.
func TestEngine(t *testing.T) {
	h := newHost(t)
	h.serve(prompt(0, 48), 0)    // three chunks, all new
	h.serve(prompt(0, 64), 48)   // the same and one more
	h.serve(prompt(1000, 32), 0) // two new ones, for which two are evicted
	h.serve(prompt(2000, 5), 0)  // no full chunk
	s := h.eng.Session(lmcache.Request{ID: "gone", Model: "m"})
	s.Lookup(t.Context(), prompt(1000, 32)) // nobody asks what came of it
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	h.rig.flush(t)
	got := nonZero(series(h.rig.scrape(t)))
	maps.DeleteFunc(got, func(s string, _ float64) bool { // what depends on the time it took
		return strings.Contains(s, "_seconds_sum") || strings.Contains(s, "eviction_loop") || strings.Contains(s, "queue_limit") ||
			strings.HasPrefix(s, "lmcache_mp_config_info")
	})
	const ms = `{cache_salt="",model_name="m"}`
	const op = `lmcache_mp_operation_duration_seconds_count{op=`
	want := map[string]float64{
		"lmcache_mp_sm_read_requests_total": 4, "lmcache_mp_sm_read_succeed_keys_total": 5, "lmcache_mp_sm_read_failed_keys_total": 6,
		"lmcache_mp_sm_write_requests_total": 3, "lmcache_mp_sm_write_succeed_keys_total": 6,
		"lmcache_mp_l1_write_keys_total": 6, "lmcache_mp_l1_read_keys_total": 5, "lmcache_mp_l1_evicted_keys_total": 2,
		`lmcache_mp_l1_removed_keys_total{cause="evict"}`: 2,
		"lmcache_mp_lookups_total" + ms:                   4, "lmcache_mp_lookup_requested_tokens_total" + ms: 144,
		"lmcache_mp_lookup_hit_tokens_total" + ms: 48, "lmcache_mp_lookup_hit_l1_tokens_total" + ms: 48,
		`lmcache_mp_lookup_early_exit_total{cache_salt="",model_name="m",reason="empty_chunk_hashes"}`: 1,
		`lmcache_mp_chunk_misses_total{model_name="m",reason="absent"}`:                                6,
		`lmcache_mp_chunk_misses_total{model_name="m",reason="under_chunk_size"}`:                      1,
		`lmcache_mp_num_chunks_loaded_total{cache_salt="",model_name="m",worker_id="1"}`:               3,
		`lmcache_mp_num_submitted_stores_total{device="fake:0"}`:                                       3,
		`lmcache_mp_num_finished_stores_total{device="fake:0"}`:                                        3,
		`lmcache_mp_num_submitted_retrieves_total{device="fake:0"}`:                                    1,
		`lmcache_mp_num_finished_retrieves_total{device="fake:0"}`:                                     1,

		op + `"lookup",outcome="miss"}`: 2, op + `"lookup",outcome="partial"}`: 1, op + `"lookup",outcome="early_exit"}`: 1,
		op + `"prefetch_wait",outcome="miss"}`: 2, op + `"prefetch_wait",outcome="partial"}`: 1, op + `"prefetch_wait",outcome="hit"}`: 1,
		op + `"store",outcome="ok"}`: 3, op + `"retrieve",outcome="ok"}`: 1,

		"lmcache_mp_l1_memory_usage_bytes": 4096, "lmcache_mp_l1_capacity_bytes": 4096, "lmcache_mp_l1_usage_ratio": 1,
		"lmcache_mp_l1_eviction_watermark": 1, "lmcache_mp_l1_pinned_ratio": 1, `lmcache_mp_l1_objects{state="ready"}`: 4,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The gauges are what Stats says, at any moment of an engine's life.
func TestEngineGauges(t *testing.T) {
	h := newHost(t)
	for range 3 {
		st := h.eng.Stats()
		got := series(h.rig.scrape(t))
		for name, want := range map[string]float64{
			"lmcache_mp_active_prefetch_jobs": float64(st.ActivePrefetchJobs), "lmcache_mp_l1_memory_usage_bytes": float64(st.Storage.L1.UsedBytes),
			"lmcache_mp_l1_capacity_bytes": float64(st.Storage.L1.CapacityBytes), `lmcache_mp_l1_objects{state="ready"}`: float64(st.Storage.L1.Objects),
		} {
			if v, ok := got[name]; !ok || v != want {
				t.Errorf("%s = %v (there: %v), Stats says %v", name, v, ok, want)
			}
		}
		h.serve(prompt(int32(st.Storage.L1.Objects)*100, 16), 0)
	}
	s := h.eng.Session(lmcache.Request{ID: "open", Model: "m"})
	s.Lookup(t.Context(), prompt(0, 16))
	if v := series(h.rig.scrape(t))["lmcache_mp_active_prefetch_jobs"]; v != 1 {
		t.Errorf("%v jobs active, want 1", v)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if v := series(h.rig.scrape(t))["lmcache_mp_active_prefetch_jobs"]; v != 0 {
		t.Errorf("%v jobs active after the session, want 0", v)
	}
}
