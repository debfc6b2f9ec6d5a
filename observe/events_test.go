package observe

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// conformance is one event and what it must do, written down beforehand.
type conformance struct {
	name    string
	publish func(*eventbus.Bus)
	want    map[string]float64
}

// Every row that events move has its case; see also the conformance test of package export.
func TestREQ_O2_events(t *testing.T) {
	missed := storage.MissCounts{}
	missed.Add(storage.MissAbsent, 2)
	missed.Add(storage.MissAfterGap, 1)
	cases := []conformance{
		{
			"read prefetched", func(b *eventbus.Bus) {
				publish(b, storage.ReadPrefetched{SucceededKeys: someKeys(3), FailedKeys: someKeys(2)})
			},
			map[string]float64{nameSMReadRequests: 1, nameSMReadSucceed: 3, nameSMReadFailed: 2},
		},
		{
			"write reserved", func(b *eventbus.Bus) {
				publish(b, storage.WriteReserved{SucceededKeys: someKeys(5), FailedKeys: someKeys(4)})
			},
			map[string]float64{nameSMWriteRequests: 1, nameSMWriteSucceed: 5, nameSMWriteFailed: 4},
		},
		{
			"events that feed no counter", func(b *eventbus.Bus) {
				publish(b, storage.WriteFinished{SucceededKeys: someKeys(5)})
				publish(b, storage.ReadPrefetchedFinished{SucceededKeys: someKeys(5)})
				publish(b, l1.ReadReserved{Keys: someKeys(1)})
				publish(b, l1.WriteReserved{Keys: someKeys(1)})
				publish(b, l1.WriteAborted{Keys: someKeys(1), Cause: l1.AbortOwner})
				publish(b, lmcache.RequestStarted{})
				publish(b, lmcache.StoreStarted{Device: "fake:0"})
			},
			map[string]float64{},
		},
		{
			"read finished", func(b *eventbus.Bus) {
				publish(b, l1.ReadFinished{Keys: someKeys(7), Cause: l1.CauseUnused})
			},
			map[string]float64{nameL1Read: 7},
		},
		{
			"REQ-O3: write finished and promoted", func(b *eventbus.Bus) {
				publish(b, l1.WriteFinished{Keys: someKeys(3)})
				publish(b, l1.WriteFinishedAndReadReserved{Keys: someKeys(2)})
			},
			map[string]float64{nameL1Write: 5},
		},
		{
			"evicted", func(b *eventbus.Bus) {
				publish(b, l1.KeysEvicted{Keys: someKeys(4), Cause: l1.CauseEvict})
				publish(b, l1.KeysEvicted{Keys: someKeys(1)}) // the default cause
			},
			map[string]float64{nameL1Evicted: 5, nameRemoved + `{cause="evict"}`: 5},
		},
		{
			"REQ-O11: other removals are no evictions", func(b *eventbus.Bus) {
				publish(b, l1.KeysEvicted{Keys: someKeys(1), Cause: l1.CausePolicyDelete})
				publish(b, l1.KeysEvicted{Keys: someKeys(2), Cause: l1.CauseTempRelease})
				publish(b, l1.KeysEvicted{Keys: someKeys(3), Cause: l1.CausePrefetchCleanup})
				publish(b, l1.KeysEvicted{Keys: someKeys(4), Cause: l1.CauseDelete})
				publish(b, l1.KeysEvicted{Keys: someKeys(5), Cause: l1.CauseClear})
			},
			map[string]float64{
				nameRemoved + `{cause="policy_delete"}`: 1, nameRemoved + `{cause="temp_release"}`: 2,
				nameRemoved + `{cause="prefetch_cleanup"}`: 3, nameRemoved + `{cause="delete"}`: 4, nameRemoved + `{cause="clear"}`: 5,
			},
		},
		{
			"REQ-O3: five ticks, two triggered", func(b *eventbus.Bus) {
				for i, mode := range []l1.Mode{l1.ModeExact, l1.ModeExact, l1.ModeWatermark, l1.ModeWatermark, l1.ModeExact} {
					publish(b, l1.EvictionLoopTick{Mode: mode, Triggered: i == 1 || i == 2})
				}
			},
			map[string]float64{nameL1Ticks: 5, nameL1Triggered: 2},
		},
		{
			"REQ-O5: failures of two models", func(b *eventbus.Bus) {
				publish(b, storage.AllocationFailed{During: storage.DuringL1Store, Keys: keys("a", "b", "a")})
				publish(b, storage.AllocationFailed{During: storage.DuringL2Prefetch, Keys: keys("b")})
				publish(b, storage.AllocationFailed{During: storage.DuringL2Prefetch})
				publish(b, storage.ReadFailed{During: storage.DuringL1Retrieve, Reason: storage.ReasonNotFound, Keys: keys("a", "a", "b")})
			},
			map[string]float64{
				nameAllocFailure + `{during="l1_store",model_name="a"}`:                      2,
				nameAllocFailure + `{during="l1_store",model_name="b"}`:                      1,
				nameAllocFailure + `{during="l2_prefetch",model_name="b"}`:                   1,
				nameReadFailure + `{during="l1_retrieve",model_name="a",reason="not_found"}`: 2,
				nameReadFailure + `{during="l1_retrieve",model_name="b",reason="not_found"}`: 1,
			},
		},
		{
			"stores in outer tiers", func(b *eventbus.Bus) {
				publish(b, storage.L2StoreSubmitted{L2Name: "fs", KeyCount: 6})
				publish(b, storage.L2StoreSubmitted{L2Name: "s3", KeyCount: 4})
				publish(b, storage.L2StoreCompleted{L2Name: "fs", SucceededCount: 5, FailedCount: 1})
				publish(b, storage.L2StoreCompleted{L2Name: "s3", FailedCount: 4}) // counts as completed all the same
				publish(b, storage.L2KeysEvicted{L2Name: "fs", KeyCount: 5, KeyCountPerSalt: map[string]int{"a": 2, "b": 3}})
			},
			map[string]float64{
				nameL2StoreTasks: 2, nameL2StoreKeys: 10, nameL2StoreSucceeded: 5, nameL2StoreFailed: 5,
				nameL2StoreCompleted + `{l2_name="fs"}`: 1, nameL2StoreCompleted + `{l2_name="s3"}`: 1,
				nameL2Evicted + `{cache_salt="a"}`: 2, nameL2Evicted + `{cache_salt="b"}`: 3,
				nameL2Batch + `{l2_name="fs"}`: 6, nameL2Batch + `{l2_name="s3"}`: 4,
			},
		},
		{
			"time in the queues of outer tiers", func(b *eventbus.Bus) { // completed at 10
				start := func(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }
				eventbus.TopicOf[storage.L2StoreSubmitted](b).PublishAt(storage.L2StoreSubmitted{TaskID: 1}, start(1))
				eventbus.TopicOf[storage.L2StoreSubmitted](b).PublishAt(storage.L2StoreSubmitted{TaskID: 2}, start(2))
				publish(b, storage.L2StoreCompleted{TaskID: 1, StartedAt: start(4)}) // 3 and 6
				publish(b, storage.L2StoreCompleted{TaskID: 2, FailedCount: 1})      // 8 in all
				publish(b, storage.L2StoreCompleted{TaskID: 9, StartedAt: start(9)}) // submitted before anybody listened: 1
				eventbus.TopicOf[storage.L2LoadTaskSubmitted](b).PublishAt(storage.L2LoadTaskSubmitted{RequestID: 1}, start(5))
				publish(b, storage.L2LoadTaskCompleted{RequestID: 1, StartedAt: start(7)}) // 2 and 3
				publish(b, storage.L2LoadTaskCompleted{RequestID: 2})                      // neither is known
			},
			map[string]float64{
				nameL2StoreTasks: 2, nameL2StoreFailed: 1, nameL2StoreCompleted + `{l2_name=""}`: 3, nameL2LoadCompleted + `{l2_name=""}`: 2,
				nameOperation + `{op="l2_queue",outcome="ok"}`:     3,
				nameOperation + `{op="l2_store",outcome="ok"}`:     7,
				nameOperation + `{op="l2_store",outcome="failed"}`: 8,
				nameOperation + `{op="l2_queue",outcome="failed"}`: 2,
				nameOperation + `{op="l2_load",outcome="failed"}`:  3,
			},
		},
		{
			"REQ-O4: prefetches from outer tiers", func(b *eventbus.Bus) {
				publish(b, storage.L2LookupSubmitted{KeyCount: 12, AdapterCount: 3})
				publish(b, storage.L2LookupCompleted{PrefixHitCount: 11})
				publish(b, storage.L2LoadSubmitted{AdapterCount: 3, KeyCount: 10})
				for _, name := range []string{"fs", "fs", "resp"} {
					publish(b, storage.L2LoadTaskCompleted{L2Name: name})
				}
				publish(b, storage.L2LoadCompleted{LoadedCount: 7, FailedCount: 3})
			},
			map[string]float64{
				nameL2Lookups: 1, nameL2LookupKeys: 12, nameL2Hits: 11, nameL2LoadTasks: 3, nameL2LoadKeys: 10,
				nameL2Loaded: 7, nameL2NotLoaded: 3,
				nameL2LoadCompleted + `{l2_name="fs"}`: 2, nameL2LoadCompleted + `{l2_name="resp"}`: 1,
			},
		},
		{
			"REQ-O5: a prefetch without memory counts twice, equally", func(b *eventbus.Bus) {
				publish(b, storage.AllocationFailed{During: storage.DuringL2Prefetch, Keys: keys("a", "a", "b")})
				publish(b, storage.L2PrefetchFailed{Reason: storage.ReasonL1OOM, Keys: keys("a", "a", "b")})
				publish(b, storage.L2PrefetchFailed{Reason: storage.ReasonCorrupt, Keys: keys("b")})
				publish(b, storage.L2PrefetchFailed{Reason: storage.ReasonCorrupt})
			},
			map[string]float64{
				nameAllocFailure + `{during="l2_prefetch",model_name="a"}`:  2,
				nameAllocFailure + `{during="l2_prefetch",model_name="b"}`:  1,
				nameL2PrefetchFailure + `{model_name="a",reason="l1_oom"}`:  2,
				nameL2PrefetchFailure + `{model_name="b",reason="l1_oom"}`:  1,
				nameL2PrefetchFailure + `{model_name="b",reason="corrupt"}`: 1,
			},
		},
		{
			"breakers of two adapters of one name", func(b *eventbus.Bus) {
				closed, open, halfOpen := storage.BreakerClosed, storage.BreakerOpen, storage.BreakerHalfOpen
				publish(b, storage.L2AdapterState{L2Name: "fs", From: closed, To: open, Reason: "timeout"})
				publish(b, storage.L2AdapterState{L2Name: "fs", AdapterIndex: 1, From: closed, To: open, Reason: "connection"})
				publish(b, storage.L2AdapterState{L2Name: "fs", From: open, To: halfOpen})
				publish(b, storage.L2AdapterState{L2Name: "fs", From: halfOpen, To: open, Reason: "timeout"})
				publish(b, storage.L2AdapterState{L2Name: "fs", From: open, To: halfOpen})
				publish(b, storage.L2AdapterState{L2Name: "fs", From: halfOpen, To: closed})
			},
			map[string]float64{
				nameL2BreakerChanges + `{adapter_index="0",l2_name="fs",state="open"}`:      2,
				nameL2BreakerChanges + `{adapter_index="0",l2_name="fs",state="half_open"}`: 2,
				nameL2BreakerChanges + `{adapter_index="0",l2_name="fs",state="closed"}`:    1,
				nameL2BreakerChanges + `{adapter_index="1",l2_name="fs",state="open"}`:      1,
			},
		},
		{
			"keys that two tiers of one name never got", func(b *eventbus.Bus) {
				publish(b, storage.L2StoreDropped{L2Name: "fs", KeyCount: 5, Reason: storage.DroppedBacklog})
				publish(b, storage.L2StoreDropped{L2Name: "fs", KeyCount: 2, Reason: storage.DroppedBacklog})
				publish(b, storage.L2StoreDropped{L2Name: "fs", KeyCount: 3, Reason: storage.DroppedNoSpace})
				publish(b, storage.L2StoreDropped{L2Name: "fs", AdapterIndex: 1, KeyCount: 4, Reason: storage.DroppedNoSpace})
			},
			map[string]float64{
				nameL2StoreDropped + `{adapter_index="0",l2_name="fs",reason="backlog"}`:  7,
				nameL2StoreDropped + `{adapter_index="0",l2_name="fs",reason="no_space"}`: 3,
				nameL2StoreDropped + `{adapter_index="1",l2_name="fs",reason="no_space"}`: 4,
			},
		},
		{
			"lookup", func(b *eventbus.Bus) {
				publish(b, lmcache.LookupEnded{
					Model: "m", Salt: "s", RequestedTokens: 1024, HitTokens: 768, L1HitTokens: 512, L2HitTokens: 256, FoundCount: 3,
					Misses: missed, SubmittedAt: epoch, ResolvedAt: epoch.Add(250 * time.Millisecond),
				})
			},
			map[string]float64{
				nameRequestedTokens + `{cache_salt="s",model_name="m"}`: 1024,
				nameHitTokens + `{cache_salt="s",model_name="m"}`:       768,
				nameHitL1 + `{cache_salt="s",model_name="m"}`:           512,
				nameHitL2 + `{cache_salt="s",model_name="m"}`:           256,
				nameLookups + `{cache_salt="s",model_name="m"}`:         1,
				nameMisses + `{model_name="m",reason="absent"}`:         2,
				nameMisses + `{model_name="m",reason="after_gap"}`:      1,
				nameOperation + `{op="lookup",outcome="partial"}`:       0.25,
			},
		},
		{
			"abandoned lookups", func(b *eventbus.Bus) {
				publish(b, lmcache.LookupAbandoned{Reason: "expired"})
				publish(b, lmcache.LookupAbandoned{Reason: "session_end"})
				publish(b, lmcache.LookupAbandoned{Reason: "replaced"})
				publish(b, lmcache.LookupAbandoned{Reason: "expired"})
			},
			map[string]float64{nameJobsExpired: 2},
		},
		{
			"store", func(b *eventbus.Bus) {
				publish(b, lmcache.StoreSubmitted{Device: "fake:1"})
				publish(b, lmcache.StoreSubmitted{Device: "fake:1"})
				publish(b, lmcache.StoreEnded{Device: "fake:1", StoredCount: 4, Success: true, SubmittedAt: epoch.Add(9 * time.Second)})
				publish(b, lmcache.StoreEnded{Device: "fake:1", SubmittedAt: epoch.Add(8 * time.Second)})
			},
			map[string]float64{
				nameSubmittedStores + `{device="fake:1"}`:       2,
				nameFinishedStores + `{device="fake:1"}`:        2,
				nameOperation + `{op="store",outcome="ok"}`:     1,
				nameOperation + `{op="store",outcome="failed"}`: 2,
			},
		},
		{
			"retrieve; REQ-O16: a failed one counts what was delivered", func(b *eventbus.Bus) {
				publish(b, lmcache.RetrieveSubmitted{Device: "host"})
				publish(b, lmcache.RetrieveEnded{
					Device: "host", EngineID: "7", Model: "m", RetrievedCount: 2, SubmittedAt: epoch.Add(6 * time.Second),
				})
				publish(b, lmcache.RetrieveEnded{Device: "host", EngineID: "7", Model: "m", Success: true, SubmittedAt: epoch.Add(7 * time.Second)})
			},
			map[string]float64{
				nameSubmittedRetrieves + `{device="host"}`:                        1,
				nameFinishedRetrieves + `{device="host"}`:                         2,
				nameChunksLoaded + `{cache_salt="",model_name="m",worker_id="7"}`: 2,
				nameOperation + `{op="retrieve",outcome="failed"}`:                4,
				nameOperation + `{op="retrieve",outcome="ok"}`:                    3,
			},
		},
		{
			"prefetch", func(b *eventbus.Bus) {
				publish(b, storage.PrefetchResolved{Total: 4, PrefixLen: 4, Elapsed: 2 * time.Second})
				publish(b, storage.PrefetchResolved{Total: 4, Elapsed: 3 * time.Second})
			},
			map[string]float64{
				nameOperation + `{op="prefetch_wait",outcome="hit"}`:  2,
				nameOperation + `{op="prefetch_wait",outcome="miss"}`: 3,
			},
		},
		{
			"lookups of fingerprints", func(b *eventbus.Bus) {
				publish(b, lmcache.BlendRequestStarted{})
				publish(b, lmcache.BlendLookupStarted{NumTokens: 1000})
				publish(b, lmcache.BlendLookupEnded{
					NumTokens: 1000, RequestedTokens: 768, HitTokens: 512, FingerprintHits: 3, StorageHits: 2, StaleChunks: 1,
				})
				publish(b, lmcache.BlendLookupStarted{NumTokens: 10})
				publish(b, lmcache.BlendLookupEnded{NumTokens: 10, NoGPUContext: true})
				publish(b, lmcache.BlendFingerprintsRegistered{NumChunks: 4, NumTokens: 1024})
				publish(b, lmcache.BlendChunksEvicted{NumChunks: 1})
				publish(b, lmcache.BlendRequestEnded{})
			},
			map[string]float64{
				nameBlendLookupRequests: 2, nameBlendLookupRequestedTokens: 768, nameBlendLookupHitTokens: 512,
				nameBlendLookupFingerprintHits: 3, nameBlendLookupStorageHits: 2, nameBlendLookupStaleChunks: 1,
				nameBlendLookupNoGPUContextErrors: 1, nameBlendFingerprintsRegistered: 4, nameBlendChunksEvicted: 1,
			},
		},
		{
			"blended transfers", func(b *eventbus.Bus) {
				publish(b, lmcache.BlendRetrieveSubmitted{})
				publish(b, lmcache.BlendRetrieveStarted{NumChunks: 2})
				publish(b, lmcache.BlendRetrieveEnded{NumChunks: 2, Success: true})
				publish(b, lmcache.BlendRetrieveStarted{NumChunks: 5})
				publish(b, lmcache.BlendRetrieveEnded{NumChunks: 5})
				publish(b, lmcache.BlendStorePreComputedSubmitted{})
				publish(b, lmcache.BlendStorePreComputedStarted{NumTokens: 512})
				publish(b, lmcache.BlendStorePreComputedEnded{NumTokens: 512, StoredChunks: 2, Success: true})
				publish(b, lmcache.BlendStorePreComputedStarted{NumTokens: 768})
				publish(b, lmcache.BlendStorePreComputedEnded{NumTokens: 768, StoredChunks: 1})
				publish(b, lmcache.BlendStoreFinalSubmitted{})
				publish(b, lmcache.BlendStoreFinalStarted{NumTokens: 1024})
				publish(b, lmcache.BlendStoreFinalEnded{NumTokens: 1024, StoredChunks: 4, Success: true})
				publish(b, lmcache.BlendStoreFinalEnded{})
			},
			map[string]float64{
				nameBlendRetrieveRequests: 2, nameBlendRetrieveChunks: 7, nameBlendRetrieveFailures: 1,
				nameBlendStorePreComputedRequests: 2, nameBlendStorePreComputedChunks: 3, nameBlendStorePreComputedFailures: 1,
				nameBlendStoreFinalRequests: 1, nameBlendStoreFinalChunks: 4, nameBlendStoreFinalFailures: 1,
			},
		},
		{
			"expired leases", func(b *eventbus.Bus) {
				publish(b, l1.LeaseExpired{Kind: l1.LeaseRead, Keys: someKeys(9)})
				publish(b, l1.LeaseExpired{Kind: l1.LeaseWrite, Keys: someKeys(9)})
				publish(b, l1.LeaseExpired{Kind: l1.LeaseWrite, Keys: someKeys(9)})
			},
			map[string]float64{nameLeaseExpired + `{kind="read"}`: 1, nameLeaseExpired + `{kind="write"}`: 2},
		},
		{
			"timeouts", func(b *eventbus.Bus) {
				publish(b, storage.L2PrefetchDeadline{MissedCount: 5})
				publish(b, storage.L2PrefetchDeadline{MissedCount: 1})
				publish(b, storage.L2PrefetchFailed{Reason: storage.ReasonTimeout, Keys: keys("a", "a")})
			},
			map[string]float64{
				nameTimeouts + `{exception_type="prefetch_deadline"}`: 2, nameTimeouts + `{exception_type="l2_load"}`: 1,
				nameL2PrefetchFailure + `{model_name="a",reason="timeout"}`: 2,
			},
		},
	}
	moved := make(map[string]bool)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			rec, bus := newRecorder(), eventbus.New(eventbus.Options{Manual: true})
			start(t, bus, rec, Options{})
			c.publish(bus)
			bus.Drain(epoch)
			got := nonZero(rec.scrape(t))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			adds := rec.adds
			bus.Drain(epoch.Add(time.Hour)) // idle time changes no counter
			if rec.adds != adds {
				t.Error("idle time moved an instrument")
			}
			for series := range got {
				name, _, _ := strings.Cut(series, "{")
				moved[name] = true
			}
		})
	}
	for _, m := range Metrics() {
		switch {
		case m.Kind != Counter && m.Kind != Histogram:
		case m.Sampled || slices.Contains([]string{nameInvalid, nameOverflow, nameSubscriberOverflow, nameEarlyExit}, m.Name): // tests of their own
		case !moved[m.Name]:
			t.Errorf("no case moves %s", m.Name)
		}
	}
}
