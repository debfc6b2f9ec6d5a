package observe

import (
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// L1LifecycleSubscriber follows sampled chunks through L1: how long they live, how
// long they lie idle before they are evicted, how far apart their uses are, and
// how soon an evicted one is written again: rows 12 to 15. A chunk is an object, so
// that ranks and groups are apart. It keeps at most [MaxL1Chunks] chunks and
// [MaxL1Evicted] evictions.
type L1LifecycleSubscriber struct {
	lifetime, idle, gap, evictGap *histogram

	sample  kv.Sampler
	times   timeline
	chunks  aged[objectID, chunkLife]
	evicted aged[objectID, time.Duration] // when; in order of eviction

	chunksFull, evictedFull *bound
}

// objectID is a key, with model and tenant by their hash of 64 bits.
type objectID struct {
	hash  kv.Hash
	names uint64
	rank  uint32
	group uint16
}

// chunkLife is one life of a chunk, which a rewrite begins anew.
type chunkLife struct{ allocated, accessed time.Duration }

// NewL1LifecycleSubscriber makes its instruments on mp.
func NewL1LifecycleSubscriber(mp metric.MeterProvider, o MetricOptions) (*L1LifecycleSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	s := &L1LifecycleSubscriber{
		lifetime: in.histogram(nameL1Lifetime), idle: in.histogram(nameL1Idle),
		gap: in.histogram(nameL1Gap), evictGap: in.histogram(nameL1EvictGap),
		sample: kv.NewSampler(in.rate),
		chunks: newAged[objectID, chunkLife](MaxL1Chunks), evicted: newAged[objectID, time.Duration](MaxL1Evicted),
	}
	s.chunksFull, s.evictedFull = in.bound(s.Name(), "chunks"), in.bound(s.Name(), "evicted")
	return s, in.err()
}

// Name is the name of the type.
func (*L1LifecycleSubscriber) Name() string { return "L1LifecycleSubscriber" }

// Subscribe asks for the events.
func (s *L1LifecycleSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e l1.ReadFinished, at time.Time) { s.each(e.Keys, at, s.read) })
	eventbus.On(sub, func(e l1.WriteFinished, at time.Time) { s.each(e.Keys, at, s.written) })
	eventbus.On(sub, func(e l1.WriteFinishedAndReadReserved, at time.Time) { s.each(e.Keys, at, s.written) })
	eventbus.On(sub, func(e l1.KeysEvicted, at time.Time) {
		if e.Cause == l1.CauseEvict || e.Cause == "" {
			s.each(e.Keys, at, s.evict)
		} else {
			s.each(e.Keys, at, s.forget)
		}
	})
	sub.AfterBatch(s.flush)
	sub.Every(time.Second, s.sweep)
}

// each calls do for those of keys that are in the sample.
func (s *L1LifecycleSubscriber) each(keys []kv.Key, at time.Time, do func(objectID, time.Duration)) {
	now := s.times.of(at)
	for i := range keys {
		k := &keys[i]
		names := s.sample.Names(k)
		if s.sample.Takes(kv.SampleHash(k.Hash.Lead(), names, k.Rank, k.Group)) {
			do(objectID{k.Hash, names, k.Rank, k.Group}, now)
		}
	}
}

func (s *L1LifecycleSubscriber) read(id objectID, now time.Duration) {
	if life := s.chunks.get(id); life != nil {
		s.gap.record((now - life.accessed).Seconds(), values{})
		life.accessed = now
	}
}

func (s *L1LifecycleSubscriber) written(id objectID, now time.Duration) {
	if at := s.evicted.get(id); at != nil {
		s.evictGap.record(min(now-*at, maxEvictGap).Seconds(), values{})
		s.evicted.remove(id)
	}
	if life := s.chunks.get(id); life != nil {
		s.gap.record((now - life.accessed).Seconds(), values{})
	}
	s.chunksFull.count(s.chunks.put(id, chunkLife{now, now}))
}

func (s *L1LifecycleSubscriber) evict(id objectID, now time.Duration) {
	life := s.chunks.get(id)
	if life == nil {
		return
	}
	s.lifetime.record((now - life.allocated).Seconds(), values{})
	s.idle.record((now - life.accessed).Seconds(), values{})
	s.chunks.remove(id)
	s.evictedFull.count(s.evicted.put(id, now))
}

func (s *L1LifecycleSubscriber) forget(id objectID, _ time.Duration) {
	s.chunks.remove(id)
	s.evicted.remove(id)
}

// sweep gives up evictions that were not followed by a rewrite in time.
func (s *L1LifecycleSubscriber) sweep(now time.Time) {
	for {
		id, at, ok := s.evicted.oldest()
		if !ok || s.times.of(now)-at < maxEvictGap {
			return
		}
		s.evicted.remove(id)
		s.evictGap.record(maxEvictGap.Seconds(), values{})
	}
}

func (s *L1LifecycleSubscriber) flush() {
	s.chunksFull.flush()
	s.evictedFull.flush()
}
