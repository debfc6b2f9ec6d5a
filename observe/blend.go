package observe

import (
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// BlendMetricsSubscriber counts what CacheBlend does.
type BlendMetricsSubscriber struct {
	lookups, requestedTokens, hitTokens, fingerprintHits, storageHits, stale, noContext *single

	retrieves, retrieveChunks, retrieveFailures *single
	preComputed, final                          blendStores
	registered, evicted                         *single
}

// blendStores counts stores of one kind.
type blendStores struct{ requests, chunks, failures *single }

// NewBlendMetricsSubscriber makes its instruments on mp.
func NewBlendMetricsSubscriber(mp metric.MeterProvider, o MetricOptions) (*BlendMetricsSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	return &BlendMetricsSubscriber{
		lookups: in.single(nameBlendLookupRequests), requestedTokens: in.single(nameBlendLookupRequestedTokens),
		hitTokens: in.single(nameBlendLookupHitTokens), fingerprintHits: in.single(nameBlendLookupFingerprintHits),
		storageHits: in.single(nameBlendLookupStorageHits), stale: in.single(nameBlendLookupStaleChunks),
		noContext: in.single(nameBlendLookupNoGPUContextErrors),
		retrieves: in.single(nameBlendRetrieveRequests), retrieveChunks: in.single(nameBlendRetrieveChunks),
		retrieveFailures: in.single(nameBlendRetrieveFailures),
		preComputed: blendStores{
			in.single(nameBlendStorePreComputedRequests), in.single(nameBlendStorePreComputedChunks), in.single(nameBlendStorePreComputedFailures),
		},
		final: blendStores{
			in.single(nameBlendStoreFinalRequests), in.single(nameBlendStoreFinalChunks), in.single(nameBlendStoreFinalFailures),
		},
		registered: in.single(nameBlendFingerprintsRegistered), evicted: in.single(nameBlendChunksEvicted),
	}, in.err()
}

// Name is the name of the type.
func (*BlendMetricsSubscriber) Name() string { return "BlendMetricsSubscriber" }

// Subscribe asks for the events.
func (s *BlendMetricsSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(lmcache.BlendLookupStarted, time.Time) { s.lookups.n++ })
	eventbus.On(sub, func(e lmcache.BlendLookupEnded, _ time.Time) { s.lookedUp(&e) })
	eventbus.On(sub, func(e lmcache.BlendRetrieveStarted, _ time.Time) {
		s.retrieves.n++
		s.retrieveChunks.add(e.NumChunks)
	})
	eventbus.On(sub, func(e lmcache.BlendRetrieveEnded, _ time.Time) {
		if !e.Success {
			s.retrieveFailures.n++
		}
	})
	eventbus.On(sub, func(lmcache.BlendStorePreComputedStarted, time.Time) { s.preComputed.requests.n++ })
	eventbus.On(sub, func(e lmcache.BlendStorePreComputedEnded, _ time.Time) {
		s.preComputed.ended(e.StoredChunks, e.Success)
	})
	eventbus.On(sub, func(lmcache.BlendStoreFinalStarted, time.Time) { s.final.requests.n++ })
	eventbus.On(sub, func(e lmcache.BlendStoreFinalEnded, _ time.Time) { s.final.ended(e.StoredChunks, e.Success) })
	eventbus.On(sub, func(e lmcache.BlendFingerprintsRegistered, _ time.Time) { s.registered.add(e.NumChunks) })
	eventbus.On(sub, func(e lmcache.BlendChunksEvicted, _ time.Time) { s.evicted.add(e.NumChunks) })
	sub.AfterBatch(s.flush)
}

func (s *BlendMetricsSubscriber) lookedUp(e *lmcache.BlendLookupEnded) {
	s.requestedTokens.add(e.RequestedTokens)
	s.hitTokens.add(e.HitTokens)
	s.fingerprintHits.add(e.FingerprintHits)
	s.storageHits.add(e.StorageHits)
	s.stale.add(e.StaleChunks)
	if e.NoGPUContext {
		s.noContext.n++
	}
}

func (b *blendStores) ended(chunks int, success bool) {
	b.chunks.add(chunks)
	if !success {
		b.failures.n++
	}
}

func (s *BlendMetricsSubscriber) flush() {
	for _, c := range [...]*single{
		s.lookups, s.requestedTokens, s.hitTokens, s.fingerprintHits, s.storageHits, s.stale, s.noContext,
		s.retrieves, s.retrieveChunks, s.retrieveFailures,
		s.preComputed.requests, s.preComputed.chunks, s.preComputed.failures,
		s.final.requests, s.final.chunks, s.final.failures, s.registered, s.evicted,
	} {
		c.flush()
	}
}
