package observe

import (
	"encoding/binary"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// full is a manual bus with the default set, nothing left out of the sample.
type full struct {
	t   testing.TB
	bus *eventbus.Bus
	rec *recorder
	ob  *Observer
}

func newFull(t testing.TB) *full {
	t.Helper()
	f := &full{t: t, bus: eventbus.New(eventbus.Options{Manual: true}), rec: newRecorder()}
	f.ob = start(t, f.bus, f.rec, Options{SampleRate: 1})
	f.bus.Drain(epoch)
	return f
}

func after(seconds float64) time.Time {
	return epoch.Add(time.Duration(seconds * float64(time.Second)))
}

// at publishes e so many seconds after the epoch, and lets it be handled.
func at[E eventbus.Event](f *full, seconds float64, e E) {
	eventbus.TopicOf[E](f.bus).PublishAt(e, after(seconds))
	f.bus.Drain(epoch) // not the time of the event: Every has nothing due
}

// want compares the samples of all sampled metrics with what was computed by hand.
func (f *full) want(want map[string][]float64) {
	f.t.Helper()
	got := make(map[string][]float64)
	for _, m := range Metrics() {
		for series, samples := range f.rec.samples {
			if name, _, _ := strings.Cut(series, "{"); m.Sampled && name == m.Name {
				got[series] = samples
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.t.Errorf("(-want +got):\n%s", diff)
	}
}

// overflow is what a bound pushed out.
func (f *full) overflow(subscriber, state string) float64 {
	return f.rec.points[nameSubscriberOverflow+`{state="`+state+`",subscriber_name="`+subscriber+`"}`]
}

// key is a chunk by its number.
func key(n int) kv.Key {
	var b [32]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	return kv.Key{Hash: kv.Hash32(b), Model: "m"}
}

func one(n int) []kv.Key { return []kv.Key{key(n)} }

// Written at 0, read at 4, evicted at 10, written again at 40.
func TestREQ_O7_life(t *testing.T) {
	f := newFull(t)
	at(f, 0, l1.WriteFinished{Keys: one(1)})
	at(f, 4, l1.ReadFinished{Keys: one(1)})
	at(f, 10, l1.KeysEvicted{Keys: one(1), Cause: l1.CauseEvict})
	f.want(map[string][]float64{nameL1Lifetime: {10}, nameL1Idle: {6}, nameL1Gap: {4}})
	at(f, 40, l1.WriteFinishedAndReadReserved{Keys: one(1)})
	f.want(map[string][]float64{nameL1Lifetime: {10}, nameL1Idle: {6}, nameL1Gap: {4}, nameL1EvictGap: {30}})
	f.bus.Drain(after(1000)) // the rewrite ended the wait
	f.want(map[string][]float64{nameL1Lifetime: {10}, nameL1Idle: {6}, nameL1Gap: {4}, nameL1EvictGap: {30}})
}

// What is not written again within 300 s is one sample of 300, without any traffic.
func TestREQ_O7_sweep(t *testing.T) {
	f := newFull(t)
	at(f, 0, l1.WriteFinished{Keys: one(1)})
	at(f, 10, l1.KeysEvicted{Keys: one(1)}) // the default cause is eviction
	evicted := map[string][]float64{nameL1Lifetime: {10}, nameL1Idle: {10}}
	f.bus.Drain(after(309.9))
	f.want(evicted)
	evicted[nameL1EvictGap] = []float64{300}
	for _, s := range []float64{311, 312, 2000} {
		f.bus.Drain(after(s))
		f.want(evicted)
	}
	at(f, 2100, l1.WriteFinished{Keys: one(1)}) // a new life, long after
	f.want(evicted)

	late := newFull(t) // nobody swept: the sample is capped all the same
	at(late, 0, l1.WriteFinished{Keys: one(1)})
	at(late, 10, l1.KeysEvicted{Keys: one(1)})
	at(late, 900, l1.WriteFinished{Keys: one(1)})
	late.want(evicted)
}

// A rewrite begins a new life; ranks and tenants are chunks of their own; a read
// begins none; what is removed for another cause leaves no sample.
func TestL1Lives(t *testing.T) {
	f := newFull(t)
	at(f, 0, l1.ReadFinished{Keys: one(1)})
	at(f, 1, l1.KeysEvicted{Keys: one(1), Cause: l1.CauseEvict}) // never seen being written
	f.want(map[string][]float64{})
	at(f, 10, l1.WriteFinished{Keys: one(1)})
	at(f, 15, l1.WriteFinished{Keys: one(1)}) // gap 5, new life
	ranked, tenant := key(1), key(1)
	ranked.Rank, tenant.Salt = 7, "s"
	at(f, 16, l1.WriteFinished{Keys: []kv.Key{ranked, tenant}})
	at(f, 18, l1.KeysEvicted{Keys: []kv.Key{key(1), ranked}, Cause: l1.CauseEvict}) // 3 and 2
	f.want(map[string][]float64{nameL1Lifetime: {3, 2}, nameL1Idle: {3, 2}, nameL1Gap: {5}})
	for i, cause := range []l1.RemoveCause{l1.CausePolicyDelete, l1.CauseTempRelease, l1.CausePrefetchCleanup, l1.CauseDelete, l1.CauseClear} {
		at(f, 20+float64(i), l1.KeysEvicted{Keys: []kv.Key{tenant}, Cause: cause})
		at(f, 20.5+float64(i), l1.WriteFinished{Keys: []kv.Key{tenant}}) // a first write: no gap
	}
	f.want(map[string][]float64{nameL1Lifetime: {3, 2}, nameL1Idle: {3, 2}, nameL1Gap: {5}})
}

func TestREQ_O60_L1Bounds(t *testing.T) {
	f := newFull(t)
	keys := make([]kv.Key, MaxL1Chunks+3)
	for i := range keys {
		keys[i] = key(i)
	}
	at(f, 0, l1.WriteFinished{Keys: keys})
	if n := f.overflow("L1LifecycleSubscriber", "chunks"); n != 3 {
		t.Errorf("%v chunks pushed out, want 3", n)
	}
	at(f, 1, l1.KeysEvicted{Keys: keys}) // the three oldest are not known any more
	if n := f.rec.counts[nameL1Lifetime]; n != MaxL1Chunks {
		t.Errorf("%d lives ended, want %d", n, MaxL1Chunks)
	}
	at(f, 2, l1.WriteFinished{Keys: keys[:5]}) // of them, keys 3 and 4 wait for this
	f.bus.Drain(epoch)
	if got := f.rec.samples[nameL1EvictGap]; !cmp.Equal(got, []float64{1, 1}) {
		t.Errorf("gaps %v, want 1 and 1", got)
	}
	at(f, 3, l1.WriteFinished{Keys: keys[:3]})
	more := make([]kv.Key, 10)
	for i := range more {
		more[i] = key(1_000_000 + i)
	}
	at(f, 4, l1.WriteFinished{Keys: more})
	at(f, 5, l1.KeysEvicted{Keys: more}) // two of the ten find room
	if n := f.overflow("L1LifecycleSubscriber", "evicted"); n != 8 {
		t.Errorf("%v evictions pushed out, want 8", n)
	}
}

// Write A, write B, read A: one chunk was used between, and A itself makes two.
func TestREQ_O8_gap(t *testing.T) {
	f := newFull(t)
	at(f, 0, storage.WriteFinished{SucceededKeys: one(1)})
	at(f, 1, storage.WriteFinished{SucceededKeys: one(2), FailedKeys: one(1)})
	at(f, 5, storage.ReadPrefetchedFinished{SucceededKeys: one(1), FailedKeys: one(2), Cause: l1.CauseRead})
	f.want(map[string][]float64{nameReuseSeconds + `{cache_salt=""}`: {5}, nameReuseChunks + `{cache_salt=""}`: {2}})
	at(f, 6, storage.ReadPrefetchedFinished{SucceededKeys: one(1)}) // at once again
	at(f, 8, storage.ReadPrefetchedFinished{SucceededKeys: one(3)}) // its first use
	at(f, 9, storage.WriteFinished{SucceededKeys: one(2)})          // moves the last use, no sample
	at(f, 10, storage.ReadPrefetchedFinished{SucceededKeys: one(2)})
	f.want(map[string][]float64{nameReuseSeconds + `{cache_salt=""}`: {5, 1, 1}, nameReuseChunks + `{cache_salt=""}`: {2, 1, 1}})
}

// Ranks and groups of a chunk in one event are one use, in whatever order.
func TestREQ_O8_ranks(t *testing.T) {
	var ranked []kv.Key
	for group := range uint16(2) {
		for chunk := range 3 {
			for rank := range uint32(4) {
				k := key(chunk)
				k.Rank, k.Group = rank, group
				ranked = append(ranked, k)
			}
		}
	}
	f := newFull(t)
	at(f, 0, storage.WriteFinished{SucceededKeys: ranked})
	at(f, 2, storage.ReadPrefetchedFinished{SucceededKeys: ranked})
	f.want(map[string][]float64{nameReuseSeconds + `{cache_salt=""}`: {2, 2, 2}, nameReuseChunks + `{cache_salt=""}`: {3, 3, 3}})
}

// Tenants never mix, nor do models with equal hashes; what was leased and not read
// is no use.
func TestREQ_O8_apart(t *testing.T) {
	f := newFull(t)
	a, b, other := key(1), key(1), key(1)
	a.Salt, b.Salt, other.Salt, other.Model = "a", "b", "a", "n"
	at(f, 0, storage.WriteFinished{SucceededKeys: []kv.Key{a, b, other}})
	at(f, 1, storage.ReadPrefetchedFinished{SucceededKeys: []kv.Key{a, b, other}, Cause: l1.CauseUnused})
	at(f, 1, storage.ReadPrefetchedFinished{SucceededKeys: []kv.Key{a, b, other}, Cause: l1.CauseAbort})
	f.want(map[string][]float64{})
	at(f, 3, storage.ReadPrefetchedFinished{SucceededKeys: []kv.Key{b}})
	at(f, 4, storage.ReadPrefetchedFinished{SucceededKeys: []kv.Key{a}}) // other was used between
	f.want(map[string][]float64{
		nameReuseSeconds + `{cache_salt="a"}`: {4}, nameReuseChunks + `{cache_salt="a"}`: {2},
		nameReuseSeconds + `{cache_salt="b"}`: {3}, nameReuseChunks + `{cache_salt="b"}`: {1},
	})
}

func TestREQ_O60_reuseBounds(t *testing.T) {
	f := newFull(t)
	keys := make([]kv.Key, MaxReuseChunks+500)
	for i := range keys {
		keys[i] = key(i)
	}
	at(f, 0, storage.WriteFinished{SucceededKeys: keys})
	if n := f.overflow("SMLifecycleSubscriber", "chunks"); n != 500 {
		t.Errorf("%v chunks pushed out, want 500", n)
	}
	at(f, 1, storage.ReadPrefetchedFinished{SucceededKeys: keys[:1000]}) // the victims are random, so most of these are there
	if n := f.rec.counts[nameReuseSeconds+`{cache_salt=""}`]; n < 950 || n > 1000 {
		t.Errorf("%d of 1000 old chunks still followed", n)
	}
	for i := range keys[:MaxSalts+1] { // the empty one is there
		keys[i].Salt = time.Duration(i + 1).String()
	}
	at(f, 2, storage.WriteFinished{SucceededKeys: keys[:MaxSalts+1]})
	if n := f.overflow("SMLifecycleSubscriber", "salts"); n != 2 {
		t.Errorf("%v tenants without a count of their own, want 2", n)
	}
}

// REQ-O60: tenants beyond the limit share one count, the others keep theirs.
func TestSaltsShareACount(t *testing.T) {
	s, err := NewSMLifecycleSubscriber(newRecorder(), MetricOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range MaxSalts {
		s.countOf(time.Duration(i).String())
	}
	x, y := s.countOf("x"), s.countOf("y")
	if x != y || x == s.countOf("0s") || s.countOf("0s") == s.countOf("1ns") || len(s.counts) != MaxSalts+1 {
		t.Errorf("%d counts", len(s.counts))
	}
}

// Keys outside of the sample need no memory.
func TestREQ_O19_memory(t *testing.T) {
	rec, bus := newRecorder(), eventbus.New(eventbus.Options{Manual: true})
	start(t, bus, rec, Options{SampleRate: 2e-6})
	keys := make([]kv.Key, 10_000)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	round := func(n int) {
		for i := range keys {
			keys[i] = key(n*len(keys) + i)
		}
		publish(bus, l1.WriteFinished{Keys: keys})
		publish(bus, storage.WriteFinished{SucceededKeys: keys})
		bus.Drain(epoch)
	}
	round(0)
	before := heap()
	for n := range 1000 { // 10⁷ keys
		round(n + 1)
	}
	if grown := int64(heap()) - int64(before); grown > 1<<20 {
		t.Errorf("%d bytes more after 10⁷ keys", grown)
	}
}

// allocate reports blocks of a request on host 7.
func (f *full) allocate(seconds float64, request string, tokens []int32, blocks ...gpu.BlockID) {
	at(f, seconds, lmcache.BlocksAllocated{InstanceID: 7, Model: "m", Records: []lmcache.BlockAllocation{
		{RequestID: request, NewBlockIDs: blocks, NewTokenIDs: tokens},
	}})
}

// count is n tokens from first on.
func count(first, n int32) []int32 {
	tokens := make([]int32, n)
	for i := range tokens {
		tokens[i] = first + int32(i)
	}
	return tokens
}

const l0Labels = `{instance_id="7",model_name="m"}`

// One block: allocated at 0, used again at 10 and 13, with other content at 20.
func TestREQ_O9_life(t *testing.T) {
	f := newFull(t)
	f.allocate(0, "a", count(0, 16), 3)
	at(f, 1, lmcache.SessionEnding{RequestID: "a"})
	f.allocate(10, "b", count(0, 16), 3)
	at(f, 11, lmcache.SessionEnding{RequestID: "b"})
	f.allocate(13, "c", count(0, 16), 3)
	at(f, 14, lmcache.SessionEnding{}) // nobody
	at(f, 14, lmcache.SessionEnding{RequestID: "c"})
	f.want(map[string][]float64{})
	at(f, 20, lmcache.BlocksAllocated{InstanceID: 7, Model: "new", Records: []lmcache.BlockAllocation{
		{RequestID: "d", NewBlockIDs: []gpu.BlockID{3}, NewTokenIDs: count(100, 16)},
	}})
	life := map[string][]float64{nameL0Lifetime + l0Labels: {20}, nameL0Idle + l0Labels: {7}, nameL0Gap + l0Labels: {3}}
	f.want(life)
	f.allocate(25, "e", count(200, 16), 3) // the new content was not used again: no gap
	const renamed = `{instance_id="7",model_name="new"}`
	life[nameL0Lifetime+renamed], life[nameL0Idle+renamed] = []float64{5}, []float64{5}
	f.want(life)
}

// Sharing a block in use is no access; a request sees its own block once; of many
// accesses the last four count.
func TestL0Accesses(t *testing.T) {
	f := newFull(t)
	f.allocate(0, "a", count(0, 16), 3)
	f.allocate(1, "a", count(0, 16), 3) // again
	f.allocate(2, "b", count(0, 16), 3) // shared
	at(f, 3, lmcache.SessionEnding{RequestID: "a"})
	f.allocate(4, "c", count(0, 16), 3) // b still has it
	for _, r := range []string{"b", "c"} {
		at(f, 5, lmcache.SessionEnding{RequestID: r})
	}
	for i, s := range []float64{10, 11, 13, 16, 20, 25} {
		r := string(rune('f' + i))
		f.allocate(s, r, count(0, 16), 3)
		at(f, s+0.5, lmcache.SessionEnding{RequestID: r})
	}
	f.allocate(30, "z", count(9, 16), 3)
	f.want(map[string][]float64{nameL0Lifetime + l0Labels: {30}, nameL0Idle + l0Labels: {5}, nameL0Gap + l0Labels: {3, 4, 5}})
}

// 33 tokens over three blocks of 16, then the same prefix with 48: only the third
// block has other content, since the host is registered with its block size.
func TestREQ_O9_registered(t *testing.T) {
	eng := &fakeEngine{stats: lmcache.Stats{Workers: []lmcache.WorkerStats{{
		KernelGroups: []lmcache.KernelGroupStats{{BlockTokens: 16}, {BlockTokens: 16}}, Instance: &lmcache.InstanceStats{ID: 7},
	}}}}
	f := newFull(t)
	if err := f.ob.Watch(Sources{Engine: eng}); err != nil {
		t.Fatal(err)
	}
	f.allocate(0, "a", count(0, 33), 0, 1, 2, 3) // the fourth has no tokens
	f.allocate(5, "b", count(0, 48), 0, 1, 2)
	f.want(map[string][]float64{nameL0Lifetime + l0Labels: {5}, nameL0Idle + l0Labels: {5}})
	f.allocate(6, "c", count(70, 16), 3) // its first content
	f.want(map[string][]float64{nameL0Lifetime + l0Labels: {5}, nameL0Idle + l0Labels: {5}})

	eng.stats.Workers = nil // the host unregisters, which forgets its blocks
	f.bus.Drain(after(7))
	f.allocate(8, "d", count(900, 64), 0, 1, 2, 3)
	f.want(map[string][]float64{nameL0Lifetime + l0Labels: {5}, nameL0Idle + l0Labels: {5}})
	if n := f.ob.blocks.requests.len(); n != 1 {
		t.Errorf("%d requests remembered, want 1", n)
	}
}

// REQ-O60: each bound pushes out and counts.
func TestL0Bounds(t *testing.T) {
	f := newFull(t)
	s := f.ob.blocks
	for i := range MaxL0Blocks - MaxL0Requests - 2 {
		s.left[blockID{99, int32(i)}] = struct{}{}
	}
	records := make([]lmcache.BlockAllocation, MaxL0Requests+2)
	for i := range records {
		records[i] = lmcache.BlockAllocation{
			RequestID: time.Duration(i).String(), NewBlockIDs: []gpu.BlockID{gpu.BlockID(i)}, NewTokenIDs: count(0, 16),
		}
	}
	at(f, 0, lmcache.BlocksAllocated{InstanceID: 7, Model: "m", Records: records})
	if n := f.overflow("L0LifecycleSubscriber", "requests"); n != 2 || s.requests.len() != MaxL0Requests {
		t.Errorf("%v requests pushed out, %d left", n, s.requests.len())
	}
	f.allocate(1, "x", count(0, 48), 500_001, 500_002, 500_003)
	if n := f.overflow("L0LifecycleSubscriber", "blocks"); n != 3 {
		t.Errorf("%v blocks not seen, want 3", n)
	}
	f.allocate(2, "y", count(9, 16), 5) // the others are followed as before
	f.want(map[string][]float64{nameL0Lifetime + l0Labels: {2}, nameL0Idle + l0Labels: {2}})
}

// Two devices in one session; two overlapping operations of one device.
func TestREQ_O10_L0L1(t *testing.T) {
	f := newFull(t)
	at(f, 0, lmcache.StoreStarted{SessionID: "s", Device: "d0"})
	at(f, 1, lmcache.StoreStarted{SessionID: "s", Device: "d1"})
	at(f, 2, lmcache.StoreEnded{SessionID: "s", Device: "d0", EngineID: "1", Model: "m", TotalBytes: 8e9, Success: true}) // 8 GB in 2 s
	at(f, 2, lmcache.StoreEnded{SessionID: "s", Device: "d1", EngineID: "2", Model: "m", TotalBytes: 8e9, Success: true}) // in 1 s
	at(f, 10, lmcache.RetrieveStarted{SessionID: "s", Device: "d0", OpID: "x"})
	at(f, 11, lmcache.RetrieveStarted{SessionID: "s", Device: "d0", OpID: "y"})
	at(f, 12, lmcache.RetrieveEnded{SessionID: "s", Device: "d0", EngineID: "1", Model: "m", OpID: "x", TotalBytes: 1e9, Success: true})
	at(f, 15, lmcache.RetrieveEnded{SessionID: "s", Device: "d0", EngineID: "1", Model: "m", OpID: "y", TotalBytes: 1e9, Success: true})
	const d0, d1 = `{device="d0",engine_id="1",model_name="m"}`, `{device="d1",engine_id="2",model_name="m"}`
	want := map[string][]float64{nameL0L1Store + d0: {4}, nameL0L1Store + d1: {8}, nameL0L1Load + d0: {0.5, 0.25}}
	f.want(want)

	ended := lmcache.StoreEnded{SessionID: "s", Device: "d0", EngineID: "1", Model: "m", TotalBytes: 8e9, Success: true}
	at(f, 20, ended) // end only
	for i, e := range []lmcache.StoreEnded{
		{SessionID: "s", Device: "d0", Success: true},     // no bytes
		{SessionID: "s", Device: "d0", TotalBytes: 8e9},   // failed
		{SessionID: "t", Device: "d0", TotalBytes: 8e9},   // of another session
		{SessionID: "s", Device: "", TotalBytes: 8e9},     // of no device
		{SessionID: "s", Device: "host", TotalBytes: 8e9}, // of another device
	} {
		s := 30 + 2*float64(i)
		at(f, s, lmcache.StoreStarted{SessionID: "s", Device: "d0"})
		at(f, s+1, e)
	}
	at(f, 50, lmcache.StoreStarted{SessionID: "s", Device: "d0"})
	at(f, 50, ended) // no time
	at(f, 50, lmcache.StoreStarted{SessionID: "s", Device: "d0"})
	at(f, 49, ended) // ends before it began
	at(f, 51, lmcache.StoreStarted{Device: "d0", OpID: "o"})
	at(f, 51, lmcache.StoreStarted{SessionID: "s", OpID: "o"})
	at(f, 52, lmcache.StoreEnded{OpID: "o", TotalBytes: 8e9, Success: true})
	f.want(want)
	at(f, 60, lmcache.StoreStarted{SessionID: "s", Device: "d0"})
	at(f, 64, lmcache.StoreStarted{SessionID: "s", Device: "d0"}) // replaces
	at(f, 65, ended)
	want[nameL0L1Store+d0] = append(want[nameL0L1Store+d0], 8)
	f.want(want)
}

// REQ-O60: starts without an end are bounded in number and age.
func TestPendingBounds(t *testing.T) {
	f := newFull(t)
	for i := range MaxPendingTransfers + 4 {
		eventbus.TopicOf[lmcache.StoreStarted](f.bus).PublishAt(
			lmcache.StoreStarted{SessionID: time.Duration(i).String(), Device: "d"}, after(1))
		if i%5000 == 0 {
			f.bus.Drain(epoch)
		}
	}
	f.bus.Drain(epoch)
	f.bus.Drain(after(30)) // sums are given at each sweep
	if n := f.overflow("L0L1ThroughputSubscriber", "stores"); n != 4 {
		t.Errorf("%v pushed out, want 4", n)
	}
	f.bus.Drain(after(62))
	if n := f.overflow("L0L1ThroughputSubscriber", "stores"); n != MaxPendingTransfers+4 {
		t.Errorf("%v given up, want all", n)
	}
	f.want(map[string][]float64{})
}

// Pairs are of an adapter's task and of a request's adapter. What the adapter says
// it moved counts; nothing moved is no sample, and neither is a failure.
func TestREQ_O10_L2(t *testing.T) {
	f := newFull(t)
	at(f, 0, storage.L2StoreSubmitted{AdapterIndex: 0, TaskID: 1, L2Name: "fs", TotalBytes: 4e9})
	at(f, 1, storage.L2StoreSubmitted{AdapterIndex: 1, TaskID: 1, L2Name: "fs", TotalBytes: 4e9})
	at(f, 2, storage.L2StoreCompleted{AdapterIndex: 1, TaskID: 1, L2Name: "fs", SucceededCount: 2})                                                          // 4 GB in 1 s
	at(f, 2, storage.L2StoreCompleted{AdapterIndex: 0, TaskID: 1, L2Name: "fs", SucceededCount: 1, FailedCount: 1, BytesKnown: true, BytesTransferred: 3e9}) // 3 GB in 2 s
	want := map[string][]float64{nameL2StoreSpeed + `{l2_name="fs"}`: {4, 1.5}}
	f.want(want)
	for i, e := range []storage.L2StoreCompleted{
		{SucceededCount: 2, BytesKnown: true},                   // all were there
		{FailedCount: 2},                                        // failed
		{FailedCount: 2, BytesKnown: true, BytesTransferred: 1}, // failed half way
		{SucceededCount: 1, FailedCount: 1},                     // some were moved, nobody knows how much
	} {
		e.L2Name, e.TaskID = "fs", int64(10+i)
		at(f, 10, storage.L2StoreSubmitted{TaskID: e.TaskID, L2Name: "fs", TotalBytes: 4e9})
		at(f, 11, e)
	}
	at(f, 12, storage.L2StoreCompleted{TaskID: 99, L2Name: "fs", SucceededCount: 1})
	f.want(want)

	at(f, 20, storage.L2LoadTaskSubmitted{RequestID: 1, AdapterIndex: 0, L2Name: "fs", TotalBytes: 1e9})
	at(f, 20, storage.L2LoadTaskSubmitted{RequestID: 1, AdapterIndex: 1, L2Name: "s3", TotalBytes: 1e9})
	at(f, 20, storage.L2LoadTaskSubmitted{RequestID: 2, AdapterIndex: 0, L2Name: "fs", TotalBytes: 1e9})
	at(f, 20, storage.L2LoadTaskSubmitted{RequestID: 3, AdapterIndex: 0, L2Name: "fs", TotalBytes: 1e9})
	at(f, 22, storage.L2LoadTaskCompleted{RequestID: 1, AdapterIndex: 1, L2Name: "s3", Success: true})
	at(f, 24, storage.L2LoadTaskCompleted{RequestID: 1, AdapterIndex: 0, L2Name: "fs", Success: true})
	at(f, 24, storage.L2LoadTaskCompleted{RequestID: 2, AdapterIndex: 0, L2Name: "fs"})
	at(f, 24, storage.L2LoadTaskCompleted{RequestID: 3, AdapterIndex: 0, L2Name: "fs", Success: true, BytesKnown: true})
	want[nameL2LoadSpeed+`{l2_name="s3"}`], want[nameL2LoadSpeed+`{l2_name="fs"}`] = []float64{0.5}, []float64{0.25}
	f.want(want)
}
