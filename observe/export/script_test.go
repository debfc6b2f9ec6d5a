package export_test

import (
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/storage"
)

// clumsy panics at its first event.
type clumsy struct{}

func (clumsy) Name() string { return "Clumsy" }

func (clumsy) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(lmcache.SessionEnding, time.Time) { panic("oops") })
}

// newScripted is a rig for the script: nothing is left out of the sample, and no
// time passes but that of the events.
func newScripted(t *testing.T) *rig {
	t.Helper()
	return newRig(t, eventbus.Options{Manual: true}, observe.Options{SampleRate: 1}, scriptSources())
}

// script is one small run that moves every metric. Comments are the expected sums.
func script(t *testing.T, r *rig) {
	t.Helper()
	if _, err := r.bus.Subscribe(clumsy{}); err != nil {
		t.Fatal(err)
	}
	var misses storage.MissCounts
	misses.Add(storage.MissEvicted, 1)
	misses.Add(storage.MissUnderChunkSize, 2)

	// Two lookups: 3 and 2 of 4 chunks in L1 when submitted, one object per chunk.
	publish(r, storage.ReadPrefetched{SucceededKeys: someKeys(3), FailedKeys: someKeys(1)})
	publish(r, storage.ReadPrefetched{SucceededKeys: someKeys(2), FailedKeys: someKeys(2)})
	publish(r, storage.PrefetchResolved{Total: 4, PrefixLen: 3, Elapsed: 100 * time.Millisecond})
	publish(r, storage.PrefetchResolved{Total: 4, PrefixLen: 4, Elapsed: 200 * time.Millisecond})
	publish(r, lmcache.LookupEnded{
		Model: "m", Salt: "s", RequestedTokens: 1024, HitTokens: 768, L1HitTokens: 768, Misses: misses,
		SubmittedAt: epoch, ResolvedAt: epoch.Add(150 * time.Millisecond),
	})
	publish(r, lmcache.LookupEnded{
		Model: "m", Salt: "s", RequestedTokens: 1024, HitTokens: 1024, L1HitTokens: 512, L2HitTokens: 512,
		SubmittedAt: epoch, ResolvedAt: epoch.Add(250 * time.Millisecond),
	})
	publish(r, lmcache.LookupEnded{Model: "x", EarlyExitReason: "no_gpu_context", SubmittedAt: epoch, ResolvedAt: epoch})
	publish(r, lmcache.LookupAbandoned{Reason: "expired"})
	publish(r, lmcache.LookupAbandoned{Reason: "replaced"})

	// One retrieve of 3 chunks that takes 2 s, and one that fails after 1.
	publish(r, lmcache.RetrieveSubmitted{Device: "fake:0"})
	publish(r, lmcache.RetrieveSubmitted{Device: "fake:0"})
	publishAt(r, 9, lmcache.RetrieveStarted{SessionID: "r", Device: "fake:0"}) // of the 2 s one is the copy: 3 GB/s
	publish(r, lmcache.RetrieveEnded{
		SessionID: "r", Device: "fake:0", EngineID: "1", Model: "m", Salt: "s", RetrievedCount: 3, TotalBytes: 3e9, Success: true,
		SubmittedAt: epoch.Add(8 * time.Second),
	})
	publish(r, lmcache.RetrieveEnded{
		Device: "fake:0", EngineID: "1", Model: "m", Salt: "s", RetrievedCount: 1, SubmittedAt: epoch.Add(9 * time.Second),
	})
	publish(r, l1.ReadFinished{Keys: someKeys(3), Cause: l1.CauseRead})

	// One store: 5 keys asked for, 4 granted, after 2 evictions; 3 s.
	publish(r, l1.KeysEvicted{Keys: someKeys(2), Cause: l1.CauseEvict})
	publish(r, storage.WriteReserved{SucceededKeys: someKeys(4), FailedKeys: someKeys(1)})
	publish(r, lmcache.StoreSubmitted{Device: "fake:0"})
	publish(r, l1.WriteFinished{Keys: someKeys(3)})
	publish(r, l1.WriteFinishedAndReadReserved{Keys: someKeys(2)})
	publishAt(r, 8, lmcache.StoreStarted{SessionID: "r", Device: "fake:0", OpID: "st"}) // 2 GB/s
	publish(r, lmcache.StoreEnded{
		SessionID: "r", Device: "fake:0", OpID: "st", EngineID: "1", Model: "m", StoredCount: 4, TotalBytes: 4e9, Success: true,
		SubmittedAt: epoch.Add(7 * time.Second),
	})

	scriptLives(r)
	scriptOuter(r)
	scriptBlend(r)

	// Trouble.
	publish(r, l1.KeysEvicted{Keys: someKeys(1), Cause: l1.CauseClear})
	publish(r, l1.LeaseExpired{Kind: l1.LeaseWrite, Keys: someKeys(2)})
	publish(r, storage.AllocationFailed{During: storage.DuringL1Store, Keys: keys("m", "m", "n")})
	publish(r, storage.ReadFailed{During: storage.DuringL1Retrieve, Reason: storage.ReasonWriteLocked, Keys: keys("m")})
	publish(r, lmcache.StoreEnded{Device: "fake:0", SubmittedAt: epoch.Add(time.Hour)}) // ends before it began
	for i := range 5 {
		publish(r, l1.EvictionLoopTick{Triggered: i < 2})
	}
	publish(r, lmcache.SessionEnding{})
	r.flush(t)
}

// scriptLives is the life of one chunk, whose tenant uses it alone, and of one block.
func scriptLives(r *rig) {
	life := keys("life")
	publishAt(r, 11, l1.WriteFinished{Keys: life})
	publishAt(r, 11, storage.WriteFinished{SucceededKeys: life})
	publishAt(r, 14, l1.ReadFinished{Keys: life, Cause: l1.CauseRead})
	publishAt(r, 15, storage.ReadPrefetchedFinished{SucceededKeys: life, Cause: l1.CauseRead})
	publishAt(r, 21, l1.KeysEvicted{Keys: life, Cause: l1.CauseEvict})
	publishAt(r, 51, l1.WriteFinished{Keys: life})

	block := func(at float64, request string, token int32) {
		publishAt(r, at, lmcache.BlocksAllocated{InstanceID: 7, Model: "m", Records: []lmcache.BlockAllocation{
			{RequestID: request, NewBlockIDs: []gpu.BlockID{3}, NewTokenIDs: []int32{token}},
		}})
	}
	block(11, "a", 1)
	publishAt(r, 11, lmcache.SessionEnding{RequestID: "a"})
	block(12, "b", 1)
	publishAt(r, 12, lmcache.SessionEnding{RequestID: "b"})
	block(14, "c", 1)
	block(20, "d", 2)
}

// scriptOuter stores 4 keys in an outer tier, 3 of them in vain, and loads 2 of 3.
func scriptOuter(r *rig) {
	publish(r, storage.L2StoreSubmitted{TaskID: 1, L2Name: "fs", KeyCount: 4, TotalBytes: 4e9})
	publishAt(r, 12, storage.L2StoreCompleted{TaskID: 1, L2Name: "fs", SucceededCount: 1, FailedCount: 3, BytesKnown: true, BytesTransferred: 1e9})
	publish(r, storage.L2LookupSubmitted{RequestID: 1, KeyCount: 5, AdapterCount: 1})
	publish(r, storage.L2LookupCompleted{RequestID: 1, PrefixHitCount: 3})
	publish(r, storage.L2LoadTaskSubmitted{RequestID: 1, L2Name: "fs", KeyCount: 3, TotalBytes: 3e9})
	publish(r, storage.L2LoadSubmitted{RequestID: 1, KeyCount: 3, AdapterCount: 1})
	publishAt(r, 14, storage.L2LoadTaskCompleted{RequestID: 1, L2Name: "fs", Success: true, SucceededCount: 2})
	publish(r, storage.L2LoadCompleted{RequestID: 1, LoadedCount: 2, FailedCount: 1})
	publish(r, storage.L2PrefetchFailed{Reason: storage.ReasonIOError, Keys: keys("m")})
	publish(r, storage.L2PrefetchFailed{Reason: storage.ReasonTimeout, Keys: keys("m", "n")})
	publish(r, storage.L2PrefetchDeadline{RequestID: 1, Phase: "load"})
	publish(r, storage.L2AdapterState{AdapterIndex: 1, L2Name: "fs", From: storage.BreakerClosed, To: storage.BreakerOpen, Reason: "timeout"})
	publish(r, storage.L2StoreDropped{AdapterIndex: 1, L2Name: "fs", KeyCount: 3, Reason: storage.DroppedNoSpace})
	publish(r, storage.L2KeysEvicted{L2Name: "fs", KeyCount: 6, KeyCountPerSalt: map[string]int{"s": 6}})
}

// scriptBlend is one blended request that finds two chunks and a stale one, and whose
// transfers fail.
func scriptBlend(r *rig) {
	publish(r, lmcache.BlendLookupStarted{NumTokens: 800})
	publish(r, lmcache.BlendLookupEnded{
		NumTokens: 800, RequestedTokens: 768, HitTokens: 512, FingerprintHits: 3, StorageHits: 2, StaleChunks: 1, NoGPUContext: true,
	})
	publish(r, lmcache.BlendRetrieveStarted{NumChunks: 2})
	publish(r, lmcache.BlendRetrieveEnded{NumChunks: 2})
	publish(r, lmcache.BlendStorePreComputedStarted{NumTokens: 512})
	publish(r, lmcache.BlendStorePreComputedEnded{NumTokens: 512, StoredChunks: 1})
	publish(r, lmcache.BlendStoreFinalStarted{NumTokens: 800})
	publish(r, lmcache.BlendStoreFinalEnded{NumTokens: 800, StoredChunks: 2})
	publish(r, lmcache.BlendFingerprintsRegistered{NumChunks: 3, NumTokens: 768})
	publish(r, lmcache.BlendChunksEvicted{NumChunks: 1})
}

// scriptSources is what the gauges of the script show.
func scriptSources() observe.Sources {
	return observe.Sources{
		Engine: &fakeEngine{lmcache.Stats{
			ActivePrefetchJobs: 2, Loops: []lmcache.LoopStats{{Name: "sessions", Stalled: 3 * time.Second}},
			Storage: storage.Stats{
				L1: l1.Stats{
					CapacityBytes: 4096, CommittedBytes: 4096, PinnedBytes: 3072, UsedBytes: 1024, Objects: 7, ReadingObjects: 3, WritingObjects: 1, Watermark: 1,
				},
				Tiers: []storage.TierStats{
					{Name: "fs", InflightStores: 1, InflightLoads: 2, InflightLoadBytes: 512, UsedBytes: 1e9, CapacityBytes: 4e9, WrittenBytes: 1e9, ReadBytes: 3e9, Breaker: storage.BreakerClosed},
					{Index: 1, Name: "fs", InflightLoads: 1, InflightLoadBytes: 256, UsedBytes: 1, CapacityBytes: 4e9, Breaker: storage.BreakerOpen},
				},
			},
		}},
		Spans: []observe.SpanStatsSource{fakeSpans{}}, Recorder: fakeRecorder{},
		Build: observe.Build{Version: "0.1.0", ConfigDigest: "cafe"},
	}
}

// fakeSpans has given up 4 spans, of 2 sessions that were too many.
type fakeSpans struct{}

func (fakeSpans) Name() string { return "Spans" }

func (fakeSpans) Stats() observe.SpanStats {
	return observe.SpanStats{Leaked: map[string]uint64{"request": 4}, PushedOut: 2}
}

// fakeRecorder has written 70 records and lost 3.
type fakeRecorder struct{}

func (fakeRecorder) Records() (uint64, map[string]uint64) {
	return 70, map[string]uint64{"queue": 3}
}

// What the script must show, computed by hand.
func scriptWant() map[string]float64 {
	return map[string]float64{
		`lmcache_mp_sm_read_requests_total`:            2,
		`lmcache_mp_sm_read_succeed_keys_total`:        5,
		`lmcache_mp_sm_read_failed_keys_total`:         3,
		`lmcache_mp_sm_write_requests_total`:           1,
		`lmcache_mp_sm_write_succeed_keys_total`:       4,
		`lmcache_mp_sm_write_failed_keys_total`:        1,
		`lmcache_mp_l1_read_keys_total`:                4,
		`lmcache_mp_l1_write_keys_total`:               7,
		`lmcache_mp_l1_evicted_keys_total`:             3,
		`lmcache_mp_l1_eviction_loop_ticks_total`:      5,
		`lmcache_mp_l1_eviction_loop_triggered_total`:  2,
		`lmcache_mp_active_prefetch_jobs`:              2,
		`lmcache_mp_l1_memory_usage_bytes`:             1024,
		`lmcache_mp_l1_usage_ratio`:                    0.25,
		`lmcache_mp_l1_capacity_bytes`:                 4096,
		`lmcache_mp_l1_eviction_watermark`:             1,
		`lmcache_mp_l1_objects{state="writing"}`:       1,
		`lmcache_mp_l1_objects{state="ready"}`:         4,
		`lmcache_mp_l1_objects{state="reading"}`:       3,
		`lmcache_mp_prefetch_jobs_expired_total`:       1,
		`lmcache_mp_config_info{digest="cafe"}`:        1,
		`lmcache_mp_lease_expired_total{kind="write"}`: 1,

		`lmcache_mp_l1_removed_keys_total{cause="evict"}`:                                                    3,
		`lmcache_mp_l1_removed_keys_total{cause="clear"}`:                                                    1,
		`lmcache_mp_l1_allocation_failure_total{during="l1_store",model_name="m"}`:                           2,
		`lmcache_mp_l1_allocation_failure_total{during="l1_store",model_name="n"}`:                           1,
		`lmcache_mp_l1_read_failure_total{during="l1_retrieve",model_name="m",reason="write_locked"}`:        1,
		`lmcache_mp_lookup_requested_tokens_total{cache_salt="s",model_name="m"}`:                            2048,
		`lmcache_mp_lookup_hit_tokens_total{cache_salt="s",model_name="m"}`:                                  1792,
		`lmcache_mp_lookup_hit_l1_tokens_total{cache_salt="s",model_name="m"}`:                               1280,
		`lmcache_mp_lookup_hit_l2_tokens_total{cache_salt="s",model_name="m"}`:                               512,
		`lmcache_mp_lookups_total{cache_salt="s",model_name="m"}`:                                            2,
		`lmcache_mp_lookups_total{cache_salt="",model_name="x"}`:                                             1,
		`lmcache_mp_lookup_early_exit_total{cache_salt="",model_name="x",reason="no_gpu_context"}`:           1,
		`lmcache_mp_chunk_misses_total{model_name="m",reason="evicted"}`:                                     1,
		`lmcache_mp_chunk_misses_total{model_name="m",reason="under_chunk_size"}`:                            2,
		`lmcache_mp_num_chunks_loaded_total{cache_salt="s",model_name="m",worker_id="1"}`:                    4,
		`lmcache_mp_num_submitted_retrieves_total{device="fake:0"}`:                                          2,
		`lmcache_mp_num_finished_retrieves_total{device="fake:0"}`:                                           2,
		`lmcache_mp_num_submitted_stores_total{device="fake:0"}`:                                             1,
		`lmcache_mp_num_finished_stores_total{device="fake:0"}`:                                              2,
		`lmcache_mp_invalid_samples_total{metric="lmcache_mp.operation_duration_seconds",reason="negative"}`: 1,
		`lmcache_mp_event_bus_subscriber_exceptions_total{subscriber_name="Clumsy"}`:                         3,
		`lmcache_mp_event_bus_queue_limit{class="bulk"}`:                                                     10000,
		`lmcache_mp_event_bus_queue_limit{class="reserved"}`:                                                 10000,

		`lmcache_mp_l2_store_tasks_total`:                                                          1,
		`lmcache_mp_l2_store_keys_total`:                                                           4,
		`lmcache_mp_l2_store_completed_total{l2_name="fs"}`:                                        1,
		`lmcache_mp_l2_store_succeeded_keys_total`:                                                 1,
		`lmcache_mp_l2_store_failed_keys_total`:                                                    3,
		`lmcache_mp_l2_prefetch_lookups_total`:                                                     1,
		`lmcache_mp_l2_prefetch_lookup_keys_total`:                                                 5,
		`lmcache_mp_l2_prefetch_hit_keys_total`:                                                    3,
		`lmcache_mp_l2_prefetch_load_tasks_total`:                                                  1,
		`lmcache_mp_l2_prefetch_load_keys_total`:                                                   3,
		`lmcache_mp_l2_prefetch_loaded_keys_total`:                                                 2,
		`lmcache_mp_l2_prefetch_failed_keys_total`:                                                 1,
		`lmcache_mp_l2_load_completed_total{l2_name="fs"}`:                                         1,
		`lmcache_mp_l2_prefetch_failure_total{model_name="m",reason="io_error"}`:                   1,
		`lmcache_mp_l2_prefetch_failure_total{model_name="m",reason="timeout"}`:                    1,
		`lmcache_mp_l2_prefetch_failure_total{model_name="n",reason="timeout"}`:                    1,
		`lmcache_mp_timeouts_total{exception_type="l2_load"}`:                                      1,
		`lmcache_mp_timeouts_total{exception_type="prefetch_deadline"}`:                            1,
		`lmcache_mp_num_inflight_l2_stores{adapter_index="0",l2_name="fs"}`:                        1,
		`lmcache_mp_num_inflight_l2_loads{adapter_index="0",l2_name="fs"}`:                         2,
		`lmcache_mp_num_inflight_l2_loads{adapter_index="1",l2_name="fs"}`:                         1,
		`lmcache_mp_inflight_load_memory_usage_bytes{adapter_index="0",l2_name="fs"}`:              512,
		`lmcache_mp_inflight_load_memory_usage_bytes{adapter_index="1",l2_name="fs"}`:              256,
		`lmcache_mp_l2_usage_bytes{l2_name="fs"}`:                                                  1e9 + 1,
		`lmcache_mp_l2_capacity_bytes{l2_name="fs"}`:                                               8e9,
		`lmcache_mp_l2_read_write_ratio`:                                                           3,
		`lmcache_mp_loop_last_tick_seconds{loop="sessions"}`:                                       3,
		`lmcache_mp_spans_leaked_total{kind="request"}`:                                            4,
		`lmcache_mp_trace_records_written_total`:                                                   70,
		`lmcache_mp_trace_records_dropped_total{reason="queue"}`:                                   3,
		`lmcache_mp_subscriber_overflow_total{state="sessions",subscriber_name="Spans"}`:           2,
		`lmcache_mp_l2_store_throughput_gbs_count{l2_name="fs"}`:                                   1,
		`lmcache_mp_l2_store_throughput_gbs_sum{l2_name="fs"}`:                                     0.5,
		`lmcache_mp_l2_load_throughput_gbs_count{l2_name="fs"}`:                                    1,
		`lmcache_mp_l2_load_throughput_gbs_sum{l2_name="fs"}`:                                      0.75,
		`lmcache_mp_l2_batch_size_count{l2_name="fs"}`:                                             2,
		`lmcache_mp_l2_batch_size_sum{l2_name="fs"}`:                                               7,
		`lmcache_mp_operation_duration_seconds_count{op="l2_store",outcome="failed"}`:              1,
		`lmcache_mp_operation_duration_seconds_sum{op="l2_store",outcome="failed"}`:                2,
		`lmcache_mp_operation_duration_seconds_count{op="l2_load",outcome="ok"}`:                   1,
		`lmcache_mp_operation_duration_seconds_sum{op="l2_load",outcome="ok"}`:                     4,
		`lmcache_mp_l1_pinned_ratio`:                                                               0.75,
		`lmcache_mp_l2_evicted_objects_total{cache_salt="s"}`:                                      6,
		`lmcache_mp_l2_breaker_changes_total{adapter_index="1",l2_name="fs",state="open"}`:         1,
		`lmcache_mp_l2_store_dropped_keys_total{adapter_index="1",l2_name="fs",reason="no_space"}`: 3,
		`lmcache_mp_l2_breaker_state{adapter_index="0",l2_name="fs",state="closed"}`:               1,
		`lmcache_mp_l2_breaker_state{adapter_index="1",l2_name="fs",state="open"}`:                 1,

		`lmcache_blend_lookup_requests_total`:              1,
		`lmcache_blend_lookup_requested_tokens_total`:      768,
		`lmcache_blend_lookup_hit_tokens_total`:            512,
		`lmcache_blend_lookup_fingerprint_hits_total`:      3,
		`lmcache_blend_lookup_storage_hits_total`:          2,
		`lmcache_blend_lookup_stale_chunks_total`:          1,
		`lmcache_blend_lookup_no_gpu_context_errors_total`: 1,
		`lmcache_blend_retrieve_requests_total`:            1,
		`lmcache_blend_retrieve_chunks_total`:              2,
		`lmcache_blend_retrieve_failures_total`:            1,
		`lmcache_blend_store_pre_computed_requests_total`:  1,
		`lmcache_blend_store_pre_computed_chunks_total`:    1,
		`lmcache_blend_store_pre_computed_failures_total`:  1,
		`lmcache_blend_store_final_requests_total`:         1,
		`lmcache_blend_store_final_chunks_total`:           2,
		`lmcache_blend_store_final_failures_total`:         1,
		`lmcache_blend_fingerprints_registered_total`:      3,
		`lmcache_blend_chunks_evicted_total`:               1,

		`lmcache_mp_l1_chunk_lifetime_seconds_count`:             1,
		`lmcache_mp_l1_chunk_lifetime_seconds_sum`:               10,
		`lmcache_mp_l1_chunk_idle_before_evict_seconds_count`:    1,
		`lmcache_mp_l1_chunk_idle_before_evict_seconds_sum`:      7,
		`lmcache_mp_l1_chunk_reuse_gap_seconds_count`:            3, // two keys were written twice at one moment
		`lmcache_mp_l1_chunk_reuse_gap_seconds_sum`:              3,
		`lmcache_mp_l1_chunk_evict_reuse_gap_seconds_count`:      1,
		`lmcache_mp_l1_chunk_evict_reuse_gap_seconds_sum`:        30,
		`lmcache_mp_real_reuse_gap_seconds_count{cache_salt=""}`: 1,
		`lmcache_mp_real_reuse_gap_seconds_sum{cache_salt=""}`:   4,
		`lmcache_mp_real_reuse_gap_chunks_count{cache_salt=""}`:  1,
		`lmcache_mp_real_reuse_gap_chunks_sum{cache_salt=""}`:    1,

		`lmcache_mp_l0_block_lifetime_seconds_count{instance_id="7",model_name="m"}`:                1,
		`lmcache_mp_l0_block_lifetime_seconds_sum{instance_id="7",model_name="m"}`:                  9,
		`lmcache_mp_l0_block_idle_before_evict_seconds_count{instance_id="7",model_name="m"}`:       1,
		`lmcache_mp_l0_block_idle_before_evict_seconds_sum{instance_id="7",model_name="m"}`:         6,
		`lmcache_mp_l0_block_reuse_gap_seconds_count{instance_id="7",model_name="m"}`:               1,
		`lmcache_mp_l0_block_reuse_gap_seconds_sum{instance_id="7",model_name="m"}`:                 2,
		`lmcache_mp_l0_l1_store_throughput_gbs_count{device="fake:0",engine_id="1",model_name="m"}`: 1,
		`lmcache_mp_l0_l1_store_throughput_gbs_sum{device="fake:0",engine_id="1",model_name="m"}`:   2,
		`lmcache_mp_l0_l1_load_throughput_gbs_count{device="fake:0",engine_id="1",model_name="m"}`:  1,
		`lmcache_mp_l0_l1_load_throughput_gbs_sum{device="fake:0",engine_id="1",model_name="m"}`:    3,

		`lmcache_mp_operation_duration_seconds_count{op="lookup",outcome="partial"}`:        1,
		`lmcache_mp_operation_duration_seconds_sum{op="lookup",outcome="partial"}`:          0.15,
		`lmcache_mp_operation_duration_seconds_count{op="lookup",outcome="hit"}`:            1,
		`lmcache_mp_operation_duration_seconds_sum{op="lookup",outcome="hit"}`:              0.25,
		`lmcache_mp_operation_duration_seconds_count{op="lookup",outcome="early_exit"}`:     1,
		`lmcache_mp_operation_duration_seconds_count{op="prefetch_wait",outcome="partial"}`: 1,
		`lmcache_mp_operation_duration_seconds_sum{op="prefetch_wait",outcome="partial"}`:   0.1,
		`lmcache_mp_operation_duration_seconds_count{op="prefetch_wait",outcome="hit"}`:     1,
		`lmcache_mp_operation_duration_seconds_sum{op="prefetch_wait",outcome="hit"}`:       0.2,
		`lmcache_mp_operation_duration_seconds_count{op="retrieve",outcome="ok"}`:           1,
		`lmcache_mp_operation_duration_seconds_sum{op="retrieve",outcome="ok"}`:             2,
		`lmcache_mp_operation_duration_seconds_count{op="retrieve",outcome="failed"}`:       1,
		`lmcache_mp_operation_duration_seconds_sum{op="retrieve",outcome="failed"}`:         1,
		`lmcache_mp_operation_duration_seconds_count{op="store",outcome="ok"}`:              1,
		`lmcache_mp_operation_duration_seconds_sum{op="store",outcome="ok"}`:                3,
	}
}
