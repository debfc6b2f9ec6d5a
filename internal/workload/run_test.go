package workload_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/internal/belady"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/mooncake"
	"github.com/lmcache-go/lmcache/internal/workload"
	"github.com/lmcache-go/lmcache/l1"
)

func run(t testing.TB, o workload.Options) workload.Result {
	t.Helper()
	r, err := workload.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sound fails the test if something went wrong in the run.
func sound(t testing.TB, r workload.Result) {
	t.Helper()
	if !r.OK() || r.VerifyFailures != 0 || r.Errors != 0 || r.EventsDropped != 0 || r.Interrupted {
		t.Errorf("not sound: %+v", r)
	}
	if r.HitChunks != r.L1HitChunks+r.L2HitChunks || r.RetrievedBytes != r.HitChunks*r.ChunkBytes ||
		r.StoredBytes != r.StoredChunks*r.ChunkBytes || r.L2HitChunks+r.L2ReadBytes+r.L2WrittenBytes != 0 {
		t.Errorf("sums do not agree: %+v", r)
	}
	missed := int64(0)
	for reason, n := range r.MissReasons {
		if reason != "under_chunk_size" {
			missed += n
		}
	}
	if missed != r.RequestedChunks-r.HitChunks {
		t.Errorf("%d chunks missed with a reason, %d of %d hit", missed, r.HitChunks, r.RequestedChunks)
	}
	if r.OptimalHitRatio != nil && *r.OptimalHitRatio < r.HitRatio {
		t.Errorf("hit ratio %v above the optimum %v", r.HitRatio, *r.OptimalHitRatio)
	}
}

// counts is a result without what depends on time.
func counts(r workload.Result) workload.Result {
	r.LookupMS, r.RetrieveMS, r.StoreMS = workload.Latency{}, workload.Latency{}, workload.Latency{}
	r.WallSeconds, r.RequestsPerSecond = 0, 0
	return r
}

// lru is what a cache with exact LRU does with the requests.
func lru(list []mooncake.Request, capacity int64) belady.Count {
	var trace belady.Trace
	for _, r := range list {
		trace.Add(r.HashIDs[:r.InputLength/512])
	}
	return trace.LRU(capacity)
}

func builtin(t testing.TB) []mooncake.Request {
	t.Helper()
	list, err := workload.Load(mooncake.Builtin(), mooncake.BuiltinBlockTokens, 0)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestREQ_C10_Builtin: the built-in trace in the default number of chunks, with
// less bytes in each.
func TestREQ_C10_Builtin(t *testing.T) {
	leak.Check(t)
	list, capacity := builtin(t), int64(2048)
	if raceEnabled {
		list, capacity = list[:150], 512
	}
	r := run(t, workload.Options{Requests: list, BytesPerToken: 64, CapacityChunks: capacity, Seed: 1})
	sound(t, r)
	want := lru(list, capacity)
	if r.HitChunks != want.Hits || r.RequestedChunks != want.Requested {
		t.Errorf("%d of %d chunks hit, exact LRU has %d of %d", r.HitChunks, r.RequestedChunks, want.Hits, want.Requested)
	}
	if r.HitChunks == 0 || r.EvictedChunks == 0 || r.StoredChunks != r.RequestedChunks-r.HitChunks ||
		r.EvictedChunks != r.StoredChunks-capacity || r.CapacityChunks != capacity || r.DroppedChunks != 0 {
		t.Errorf("counts do not agree: %+v", r)
	}
	if r.Workload != "built-in" || r.Policy != "LRU" || r.Seed != 1 || r.Concurrency != 1 || r.ChunkBytes != 64*512 {
		t.Errorf("not what ran: %+v", r)
	}
	for _, l := range []workload.Latency{r.LookupMS, r.RetrieveMS, r.StoreMS} {
		if l.P50 <= 0 || l.P90 < l.P50 || l.P99 < l.P90 || l.Max < l.P99 || l.Max > r.WallSeconds*1000 {
			t.Errorf("latency %+v in %v s", l, r.WallSeconds)
		}
	}
	if math.Abs(r.RequestsPerSecond*r.WallSeconds-float64(len(list))) > 0.001 {
		t.Errorf("%v requests per second in %v s", r.RequestsPerSecond, r.WallSeconds)
	}
}

// TestREQ_C11_Conversation: the public trace through the whole engine, with few
// bytes per token.
func TestREQ_C11_Conversation(t *testing.T) {
	t.Parallel()
	list, capacities := conversation(t, 0), map[int64]float64{5_000: .124, 20_000: .306}
	if raceEnabled {
		list, capacities = list[:500], map[int64]float64{5_000: float64(lru(list[:500], 5_000).Hits) / 13_662}
	}
	for capacity, want := range capacities {
		t.Run(strconv.FormatInt(capacity, 10), func(t *testing.T) {
			t.Parallel()
			r := run(t, workload.Options{Requests: list, BytesPerToken: 2, CapacityChunks: capacity, Engine: lmcache.Options{
				L1: l1.Options{Align: 64},
			}})
			sound(t, r)
			if !raceEnabled && r.RequestedChunks != 276_491 {
				t.Errorf("%d chunks requested", r.RequestedChunks)
			}
			if math.Abs(r.HitRatio-want) > 0.003 {
				t.Errorf("hit ratio %.4f, want %.3f", r.HitRatio, want)
			}
			if capacity == 5_000 && !raceEnabled && math.Abs(*r.OptimalHitRatio-.356) > 0.003 {
				t.Errorf("optimum %.4f, want .356", *r.OptimalHitRatio)
			}
			t.Logf("hit ratio %.4f, at best %.4f, %.2f s", r.HitRatio, *r.OptimalHitRatio, r.WallSeconds)
		})
	}
}

// TestREQ_C12_Optimal: no policy is above the bound, and with room for everything
// both hit all that repeats.
func TestREQ_C12_Optimal(t *testing.T) {
	list := builtin(t)[:60]
	for _, policy := range []string{"LRU", "noop"} {
		for _, capacity := range []int64{1, 10, 100, 1000, 10_000} {
			r := run(t, workload.Options{Requests: list, BytesPerToken: 2, CapacityChunks: capacity, Engine: lmcache.Options{
				L1: l1.Options{Policy: policy, Align: 64},
			}})
			sound(t, r)
			all := capacity == 10_000
			if all && (r.HitRatio != *r.OptimalHitRatio || r.HitChunks == 0) {
				t.Errorf("%s, %d chunks: %v, optimum %v", policy, capacity, r.HitRatio, *r.OptimalHitRatio)
			}
			if policy == "noop" && (r.EvictedChunks != 0 || (r.DroppedChunks > 0) == all) {
				t.Errorf("noop, %d chunks: %d evicted, %d dropped", capacity, r.EvictedChunks, r.DroppedChunks)
			}
		}
	}
}

// TestREQ_C13_Deterministic: equal options, equal counts, on one processor or two.
func TestREQ_C13_Deterministic(t *testing.T) {
	o := workload.Options{Requests: builtin(t)[:120], BytesPerToken: 16, CapacityChunks: 400}
	want := counts(run(t, o))
	sound(t, want)
	if want.HitChunks == 0 || want.EvictedChunks == 0 {
		t.Errorf("nothing to compare: %+v", want)
	}
	if diff := cmp.Diff(want, counts(run(t, o))); diff != "" {
		t.Errorf("second run (-first +second):\n%s", diff)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 2} {
		runtime.GOMAXPROCS(procs)
		if diff := cmp.Diff(want, counts(run(t, o))); diff != "" {
			t.Errorf("on %d processors (-want +got):\n%s", procs, diff)
		}
	}
}

// TestREQ_C13_Concurrent: eight requests in flight, no wrong byte and no error.
func TestREQ_C13_Concurrent(t *testing.T) {
	leak.Check(t)
	list := builtin(t)
	if raceEnabled {
		list = list[:200]
	}
	var done []int
	r := run(t, workload.Options{
		Requests: list, BytesPerToken: 32, CapacityChunks: 1000, Concurrency: 8,
		Progress: func(n int) { done = append(done, n) },
	})
	sound(t, r)
	if r.HitChunks == 0 || r.Concurrency != 8 {
		t.Errorf("%+v", r)
	}
	if len(done) != len(list) || !slices.IsSorted(done) || done[len(done)-1] != len(done) {
		t.Errorf("progress %v", done)
	}
}

// TestBlocksAndChunks: hash ids for more or less tokens than a chunk.
func TestBlocksAndChunks(t *testing.T) {
	list := builtin(t)[:30]
	for _, chunk := range []int{64, 256, 512, 1024, 2048} {
		r := run(t, workload.Options{Requests: list, BytesPerToken: 4, Engine: lmcache.Options{
			ChunkTokens: chunk, L1: l1.Options{Bytes: 64 << 20, Align: 64},
		}})
		sound(t, r)
		requested, tokens := int64(0), int64(0)
		for _, q := range list {
			requested += int64(q.InputLength / chunk)
			tokens += int64(q.InputLength)
		}
		if r.RequestedChunks != requested || r.RequestedTokens != tokens || r.Requests != 30 {
			t.Errorf("chunks of %d: %d chunks and %d tokens requested, want %d and %d",
				chunk, r.RequestedChunks, r.RequestedTokens, requested, tokens)
		}
		if r.HitRatio != *r.OptimalHitRatio || (r.HitChunks == 0) != (chunk > 512) {
			t.Errorf("chunks of %d: %d hits, ratio %v, optimum %v", chunk, r.HitChunks, r.HitRatio, *r.OptimalHitRatio)
		}
	}
}

// requests are prompts of whole blocks of 512 tokens.
func requests(prompts ...[]uint64) []mooncake.Request {
	var list []mooncake.Request
	for _, ids := range prompts {
		list = append(list, mooncake.Request{InputLength: 512 * len(ids), HashIDs: ids})
	}
	return list
}

// TestNoMemory: of a prompt that is larger than the cache its beginning is stored,
// and what is dropped is counted.
func TestNoMemory(t *testing.T) {
	r := run(t, workload.Options{
		Requests: requests([]uint64{1, 2, 3, 4, 5}, []uint64{1, 2, 3, 4, 5}), BytesPerToken: 64, CapacityChunks: 3,
	})
	sound(t, r)
	if r.StoredChunks != 3 || r.HitChunks != 3 || r.DroppedChunks != 4 || r.EvictedChunks != 0 {
		t.Errorf("%+v", r)
	}
	if r.HitRatio != 0.3 || *r.OptimalHitRatio != 0.3 {
		t.Errorf("ratio %v, optimum %v, want 0.3", r.HitRatio, *r.OptimalHitRatio)
	}
}

// TestShortPrompts: a prompt without a full chunk asks for nothing.
func TestShortPrompts(t *testing.T) {
	list := []mooncake.Request{{InputLength: 511, HashIDs: []uint64{1}}, {}, {InputLength: 513, HashIDs: []uint64{1, 2}}}
	r := run(t, workload.Options{Requests: list, BytesPerToken: 16, CapacityChunks: 10})
	sound(t, r)
	if diff := cmp.Diff(map[string]int64{"under_chunk_size": 2, "absent": 1}, r.MissReasons); diff != "" {
		t.Errorf("miss reasons (-want +got):\n%s", diff)
	}
	if r.Requests != 3 || r.RequestedTokens != 1024 || r.RequestedChunks != 1 || r.StoredChunks != 1 {
		t.Errorf("%+v", r)
	}
	for _, nothing := range [][]mooncake.Request{nil, list[:2]} {
		if r = run(t, workload.Options{Requests: nothing, CapacityChunks: 10}); r.OK() || r.HitRatio != 0 || *r.OptimalHitRatio != 0 {
			t.Errorf("nothing requested: %+v", r)
		}
	}
}

// TestInterrupted: what runs is finished, nothing else is begun, and what was done
// is reported.
func TestInterrupted(t *testing.T) {
	leak.Check(t)
	for _, concurrency := range []int{1, 4} {
		t.Run(strconv.Itoa(concurrency), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, err := workload.Run(ctx, workload.Options{
				Requests: builtin(t), BytesPerToken: 8, CapacityChunks: 500, Concurrency: concurrency,
				Progress: func(done int) {
					if done == 20 {
						cancel()
					}
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if !r.Interrupted || r.Requests < 20 || r.Requests > 20+int64(concurrency) || r.RequestedChunks == 0 || !r.OK() {
				t.Errorf("%+v", r)
			}
			if *r.OptimalHitRatio < r.HitRatio {
				t.Errorf("hit ratio %v above the optimum %v", r.HitRatio, *r.OptimalHitRatio)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := workload.Run(ctx, workload.Options{Requests: builtin(t), BytesPerToken: 8, CapacityChunks: 5}); err != nil || !r.Interrupted || r.Requests != 0 {
		t.Errorf("context ended before: %+v, %v", r, err)
	}
}

// TestPace: requests start at their times, faster by the factor.
func TestPace(t *testing.T) {
	list := requests([]uint64{1}, []uint64{1, 2}, []uint64{1, 3})
	for i, at := range []time.Duration{time.Second, 5 * time.Second, 21 * time.Second} {
		list[i].Timestamp = at
	}
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var at []time.Duration
		o := workload.Options{
			Requests: list, BytesPerToken: 16, CapacityChunks: 10, Speed: 2,
			Progress: func(int) { at = append(at, time.Since(begin)) },
		}
		r := run(t, o)
		sound(t, r)
		want := []time.Duration{500 * time.Millisecond, 2500 * time.Millisecond, 10500 * time.Millisecond}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("times (-want +got):\n%s", diff)
		}
		if r.WallSeconds != 10.5 {
			t.Errorf("%v s, want 10.5", r.WallSeconds)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if r, err := workload.Run(ctx, o); err != nil || r.Requests != 2 || !r.Interrupted || r.WallSeconds != 3 {
			t.Errorf("interrupted while it waits: %+v, %v", r, err)
		}
	})
}

// heard counts the lookups that it hears of.
type heard struct{ lookups, ended int }

func (*heard) Name() string { return "heard" }

func (h *heard) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(lmcache.LookupEnded, time.Time) { h.lookups++ })
	eventbus.On(s, func(lmcache.RequestEnded, time.Time) { h.ended++ })
}

// TestBus: a bus of the caller's gets all events before Run returns, and stays the
// caller's. The engine works until Close.
func TestBus(t *testing.T) {
	leak.Check(t)
	bus := eventbus.New(eventbus.Options{})
	defer func() {
		if err := bus.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	h := &heard{}
	if _, err := bus.Subscribe(h); err != nil {
		t.Fatal(err)
	}
	d, err := workload.Open(t.Context(), workload.Options{
		Requests: builtin(t)[:50], BytesPerToken: 8, CapacityChunks: 100, Engine: lmcache.Options{Bus: bus},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sound(t, r)
	if h.lookups != 50 || h.ended != 50 {
		t.Errorf("heard of %d lookups, %d ends", h.lookups, h.ended)
	}
	if s := d.Engine().Stats(); s.Storage.L1.Objects != 100 || s.Storage.L1.EvictedObjects != r.EvictedChunks || s.Sessions != 0 || s.Storage.L1.Leases != 0 {
		t.Errorf("after the run: %+v", s)
	}
	if _, err := d.Run(t.Context()); err == nil {
		t.Error("a second run")
	}
	for range 2 {
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := bus.Flush(t.Context()); err != nil {
		t.Errorf("the bus was closed: %v", err)
	}
}

// TestSwitches: what is off is not done.
func TestSwitches(t *testing.T) {
	r := run(t, workload.Options{Name: "mine", Requests: builtin(t)[:20], BytesPerToken: 8, CapacityChunks: 100, Seed: 9, NoOptimal: true})
	sound(t, r)
	if r.OptimalHitRatio != nil || r.Workload != "mine" || r.Seed != 9 {
		t.Errorf("%+v", r)
	}
}

func TestValidate(t *testing.T) {
	_, err := workload.Open(t.Context(), workload.Options{
		BlockTokens: -1, BytesPerToken: 7, CapacityChunks: 4, Concurrency: 5000, Speed: -1, DeviceBytes: -1,
		Engine: lmcache.Options{L1: l1.Options{Bytes: 1}},
	})
	for _, want := range []string{
		"BlockTokens: must be between 1 and 16777216, got -1", "BytesPerToken: must be even and between 2 and 1048576, got 7",
		"CapacityChunks: excludes Engine.L1.Bytes", "Concurrency: must be between 1 and 1024, got 5000", "Speed: must be positive, got -1",
		"DeviceBytes: must be positive, got -1",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
	for _, tc := range []struct {
		o    workload.Options
		want string
	}{
		{workload.Options{BlockTokens: 500}, "BlockTokens: must be a multiple or a divisor of the chunk size 512, got 500"},
		{workload.Options{BlockTokens: 64, Engine: lmcache.Options{ChunkTokens: 100}}, "the chunk size 100, got 64"},
		{workload.Options{CapacityChunks: -1}, "CapacityChunks: must be positive, got -1"},
		{workload.Options{CapacityChunks: 1 << 62}, "CapacityChunks: must be at most"},
		{workload.Options{Engine: lmcache.Options{ChunkTokens: 70_000, L1: l1.Options{Policy: "best"}}}, "ChunkTokens"},
		{workload.Options{Engine: lmcache.Options{ChunkTokens: 70_000, L1: l1.Options{Policy: "best"}}}, "best"},
	} {
		if err := tc.o.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %v, want it to say %q", err, tc.want)
		}
	}
	for _, ok := range []workload.Options{{}, {BlockTokens: 16, Engine: lmcache.Options{ChunkTokens: 256}}} {
		if err := ok.Validate(); err != nil {
			t.Errorf("%+v: %v", ok, err)
		}
	}
	if got := (workload.Options{}).L1Bytes(); got != 1<<30 {
		t.Errorf("L1 of %d bytes by default", got)
	}
	if got := (workload.Options{CapacityChunks: 3, BytesPerToken: 10}).L1Bytes(); got != 3*8192 {
		t.Errorf("L1 of %d bytes for 3 chunks of 5120 bytes, aligned to 4096", got)
	}
}

// TestOpenFails: a device that is too small is named, and nothing stays behind.
func TestOpenFails(t *testing.T) {
	leak.Check(t)
	_, err := workload.Open(t.Context(), workload.Options{Requests: builtin(t), CapacityChunks: 10, DeviceBytes: 1 << 20})
	if !errors.Is(err, fake.ErrMemory) || !strings.HasPrefix(err.Error(), "workload: paged cache of ") {
		t.Errorf("%v", err)
	}
	r := run(t, workload.Options{Requests: requests([]uint64{1}, []uint64{1}), CapacityChunks: 10, DeviceBytes: 1 << 20, Concurrency: 100})
	if r.Concurrency != 100 || !r.OK() {
		t.Errorf("%+v", r)
	}
}

func TestLoad(t *testing.T) {
	list, err := workload.Load(mooncake.Builtin(), 512, 7)
	if err != nil || len(list) != 7 {
		t.Errorf("%d requests, %v", len(list), err)
	}
	text := `{"timestamp": 0, "input_length": 1, "hash_ids": [1]}` + "\n" + `{"timestamp": 0}`
	var bad *mooncake.LineError
	if _, err := workload.Load(strings.NewReader(text), 512, 0); !errors.As(err, &bad) || bad.Line != 2 {
		t.Errorf("%v", err)
	}
	if list, err := workload.Load(strings.NewReader(text), 512, 1); err != nil || len(list) != 1 {
		t.Errorf("%d requests, %v: a line behind the limit was read", len(list), err)
	}
}

// TestResultJSON: the keys, in order.
func TestResultJSON(t *testing.T) {
	text, err := json.Marshal(run(t, workload.Options{Requests: requests([]uint64{1}, []uint64{1}), CapacityChunks: 10}))
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, m := range regexp.MustCompile(`"([a-z0-9_]+)":`).FindAllStringSubmatch(string(text), -1) {
		keys = append(keys, m[1])
	}
	want := strings.Fields(`workload requests requested_tokens requested_chunks
		hit_chunks l1_hit_chunks l2_hit_chunks hit_ratio optimal_hit_ratio stored_chunks evicted_chunks dropped_chunks l2_lost_chunks
		retrieved_bytes stored_bytes l2_read_bytes l2_written_bytes verify_failures errors miss_reasons absent
		lookup_ms p50 p90 p99 max retrieve_ms p50 p90 p99 max store_ms p50 p90 p99 max
		capacity_chunks chunk_bytes concurrency policy seed events_dropped wall_seconds requests_per_second interrupted`)
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}
