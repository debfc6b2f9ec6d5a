package artefact

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/internal/mooncake"
	"github.com/lmcache-go/lmcache/internal/workload"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/observe/export"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// node is what a server exports: a bus, what listens to it, and a port to scrape.
type node struct {
	bus      *eventbus.Bus
	observer *observe.Observer
	metrics  *export.Metrics
	server   *export.Server
	made     made
}

// made are values that nothing in this module has yet, or that do not come about by
// themselves. They grow with every scrape.
type made struct{ scrapes atomic.Int64 }

func (*made) Name() string { return "made" }

// Stats is that of spans: one is given up between two scrapes.
func (m *made) Stats() observe.SpanStats {
	return observe.SpanStats{Leaked: map[string]uint64{"request": uint64(m.scrapes.Add(1))}}
}

// Records is that of a recorder: of four records one is lost.
func (m *made) Records() (written uint64, dropped map[string]uint64) {
	n := uint64(m.scrapes.Load())
	return 3 * n, map[string]uint64{"queue": n}
}

// tiered is an engine with an outer tier that does not keep up.
type tiered struct {
	*lmcache.Engine
	made *made
}

func (e tiered) Stats() lmcache.Stats {
	s, n := e.Engine.Stats(), e.made.scrapes.Load()
	s.Storage.Tiers = []storage.TierStats{{
		Name: "fs", Healthy: true, Breaker: storage.BreakerClosed, InflightStores: 1, InflightLoads: int(1 + n), InflightLoadBytes: 1 << 20,
		UsedBytes: 1 << 30, CapacityBytes: 1 << 40, WrittenBytes: 1 << 20, ReadBytes: 1 << 10,
	}}
	return s
}

// newNode serves the metrics of a bus with that queue, with everything in the sample.
func newNode(t *testing.T, queue int) *node {
	t.Helper()
	n := &node{bus: eventbus.New(eventbus.Options{Queue: queue})}
	var err error
	if n.metrics, err = export.NewMetrics(export.Options{}); err != nil {
		t.Fatal(err)
	}
	if n.observer, err = observe.Start(n.bus, n.metrics.MeterProvider(), observe.Options{SampleRate: 1}); err != nil {
		t.Fatal(err)
	}
	if n.server, err = n.metrics.Listen(t.Context(), "127.0.0.1", 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		for _, err := range []error{n.bus.Close(ctx), n.observer.Close(), n.metrics.Shutdown(ctx)} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return n
}

// watch shows the state of the bus, and that of an engine if there is one.
func (n *node) watch(e observe.EngineStats) error {
	s := observe.Sources{Engine: e, Bus: n.bus, Build: observe.Build{Version: "0.0.0-test", ConfigDigest: "cafe"}}
	if e != nil {
		s.Spans, s.Recorder = []observe.SpanStatsSource{&n.made}, &n.made
	}
	return n.observer.Watch(s)
}

// work runs the built-in trace through one engine after the other until ctx ends.
// L1 is smaller than the working set, and than the longest prompts: it evicts, and
// has no memory for some chunks. Everything about L1, lookups and copies is real.
func (n *node) work(ctx context.Context, requests []mooncake.Request) error {
	for ctx.Err() == nil {
		d, err := workload.Open(ctx, workload.Options{
			Requests: requests, BytesPerToken: 16, CapacityChunks: 40, Concurrency: 4, Speed: 20, Seed: 1, NoOptimal: true, NoVerify: true,
			Engine: lmcache.Options{Bus: n.bus},
		})
		if err == nil {
			err = n.watch(tiered{d.Engine(), &n.made})
			if err == nil {
				_, err = d.Run(ctx)
			}
			err = errors.Join(err, d.Close(context.WithoutCancel(ctx)))
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return nil
}

func publish[E eventbus.Event](b *eventbus.Bus, at time.Time, e E) {
	eventbus.TopicOf[E](b).PublishAt(e, at)
}

// play publishes, until ctx ends, the events that nothing in this module publishes
// yet (outer tiers, CacheBlend), those of a host's scheduler, and those of faults that
// do not happen by themselves.
func (n *node) play(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for i := 1; ; i++ {
		n.outerTier(i)
		n.blend()
		n.scheduler(i)
		n.faults(i)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// outerTier stores two keys, one of them in vain, looks up three and loads two.
func (n *node) outerTier(i int) {
	now, id := time.Now(), int64(i)
	before := now.Add(-10 * time.Millisecond)
	publish(n.bus, before, storage.L2StoreSubmitted{TaskID: id, L2Name: "fs", KeyCount: 2, TotalBytes: 20e6})
	publish(n.bus, now, storage.L2StoreCompleted{TaskID: id, L2Name: "fs", SucceededCount: 1, FailedCount: 1, BytesKnown: true, BytesTransferred: 10e6})
	publish(n.bus, before, storage.L2LookupSubmitted{RequestID: id, KeyCount: 3, AdapterCount: 1})
	publish(n.bus, before, storage.L2LookupCompleted{RequestID: id, PrefixHitCount: 2})
	publish(n.bus, before, storage.L2LoadTaskSubmitted{RequestID: id, L2Name: "fs", KeyCount: 2, TotalBytes: 20e6})
	publish(n.bus, before, storage.L2LoadSubmitted{RequestID: id, KeyCount: 2, AdapterCount: 1})
	publish(n.bus, now, storage.L2LoadTaskCompleted{RequestID: id, L2Name: "fs", Success: true, SucceededCount: 2})
	publish(n.bus, now, storage.L2LoadCompleted{RequestID: id, LoadedCount: 2})
	publish(n.bus, now, storage.L2PrefetchFailed{Reason: storage.ReasonIOError, Keys: []kv.Key{{Model: "workload"}}})
	publish(n.bus, now, storage.L2AdapterState{L2Name: "fs", From: storage.BreakerHalfOpen, To: storage.BreakerClosed})
	publish(n.bus, now, storage.L2StoreDropped{L2Name: "fs", KeyCount: 1, Reason: storage.DroppedNoSpace})
	publish(n.bus, now, storage.L2KeysEvicted{L2Name: "fs", KeyCount: 1, KeyCountPerSalt: map[string]int{"tenant": 1}})
}

func (n *node) blend() {
	now := time.Now()
	publish(n.bus, now, lmcache.BlendLookupStarted{NumTokens: 800})
	publish(n.bus, now, lmcache.BlendLookupEnded{
		NumTokens: 800, RequestedTokens: 768, HitTokens: 512, FingerprintHits: 3, StorageHits: 2, StaleChunks: 1, NoGPUContext: true,
	})
	publish(n.bus, now, lmcache.BlendRetrieveStarted{NumChunks: 2})
	publish(n.bus, now, lmcache.BlendRetrieveEnded{NumChunks: 2})
	publish(n.bus, now, lmcache.BlendStorePreComputedStarted{NumTokens: 512})
	publish(n.bus, now, lmcache.BlendStorePreComputedEnded{NumTokens: 512, StoredChunks: 1})
	publish(n.bus, now, lmcache.BlendStoreFinalStarted{NumTokens: 800})
	publish(n.bus, now, lmcache.BlendStoreFinalEnded{NumTokens: 800, StoredChunks: 2})
	publish(n.bus, now, lmcache.BlendFingerprintsRegistered{NumChunks: 3, NumTokens: 768})
	publish(n.bus, now, lmcache.BlendChunksEvicted{NumChunks: 1})
}

// scheduler gives one block to four requests in turn: the same content three times,
// then another one.
func (n *node) scheduler(i int) {
	request := strconv.Itoa(i)
	publish(n.bus, time.Now(), lmcache.BlocksAllocated{InstanceID: 7, Model: "workload", Records: []lmcache.BlockAllocation{
		{RequestID: request, NewBlockIDs: []gpu.BlockID{3}, NewTokenIDs: []int32{int32(i / 4)}},
	}})
	publish(n.bus, time.Now(), lmcache.SessionEnding{RequestID: request})
}

func (n *node) faults(i int) {
	now := time.Now()
	keys := []kv.Key{{Model: "workload"}}
	publish(n.bus, now, storage.ReadFailed{During: storage.DuringL1Retrieve, Reason: storage.ReasonNotFound, Keys: keys})
	publish(n.bus, now, l1.LeaseExpired{Kind: l1.LeaseRead, Keys: keys})
	publish(n.bus, now, lmcache.LookupAbandoned{Reason: "expired"})
	publish(n.bus, now, lmcache.LookupEnded{Model: "unknown", EarlyExitReason: "no_gpu_context", SubmittedAt: now, ResolvedAt: now})
	// A store that ended before it was submitted is refused by the histogram.
	publish(n.bus, now, lmcache.StoreEnded{Device: "fake:0", Model: "workload", Success: true, SubmittedAt: now.Add(time.Second)})
	if i == 1 { // more stores begin than are remembered
		for op := range observe.MaxPendingTransfers + 10 {
			publish(n.bus, now, lmcache.StoreStarted{SessionID: "s", Device: "fake:0", OpID: strconv.Itoa(op)})
		}
	}
}

// clumsy is a subscriber that panics.
type clumsy struct{}

func (clumsy) Name() string { return "Clumsy" }

func (clumsy) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(lmcache.SessionEnding, time.Time) { panic("oops") })
}

// stuck is a subscriber that stands until it is told to go on.
type stuck struct{ goOn chan struct{} }

func (stuck) Name() string { return "Stuck" }

func (s stuck) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(lmcache.RequestStarted, time.Time) { <-s.goOn })
}
