package observe

import (
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// SMLifecycleSubscriber measures how long after a chunk was used it is used again,
// in seconds and in chunks that its tenant used meanwhile: rows 16 and 17. A chunk
// is what a model and a tenant made of the same tokens: its ranks and groups, in one
// event, are one use. It keeps at most [MaxReuseChunks] sampled chunks, and counts for
// [MaxSalts] tenants.
type SMLifecycleSubscriber struct {
	seconds, chunks *histogram

	sample kv.Sampler
	times  timeline
	seen   distinct
	tracks tracks
	counts map[string]*int64 // uses by tenant
	salt   string            // of the last key
	count  *int64            // its count; nil: none yet

	chunksFull, saltsFull *bound
}

// chunkID is a chunk, with model and tenant by their hash of 64 bits.
type chunkID struct {
	hash  kv.Hash
	names uint64
}

// lastUse is when a chunk was used last.
type lastUse struct {
	at    time.Duration
	count int64 // uses of its tenant then, this one included
}

// NewSMLifecycleSubscriber makes its instruments on mp.
func NewSMLifecycleSubscriber(mp metric.MeterProvider, o MetricOptions) (*SMLifecycleSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	s := &SMLifecycleSubscriber{
		seconds: in.histogram(nameReuseSeconds), chunks: in.histogram(nameReuseChunks),
		sample: kv.NewSampler(in.rate), counts: make(map[string]*int64),
		tracks: tracks{limit: MaxReuseChunks, index: make(map[chunkID]int32), rand: newDraw(1).rand},
	}
	s.chunksFull, s.saltsFull = in.bound(s.Name(), "chunks"), in.bound(s.Name(), "salts")
	return s, in.err()
}

// Name is the name of the type.
func (*SMLifecycleSubscriber) Name() string { return "SMLifecycleSubscriber" }

// Subscribe asks for the events.
func (s *SMLifecycleSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e storage.ReadPrefetchedFinished, at time.Time) {
		if e.Cause == l1.CauseRead || e.Cause == "" {
			s.use(e.SucceededKeys, at, true)
		}
	})
	eventbus.On(sub, func(e storage.WriteFinished, at time.Time) { s.use(e.SucceededKeys, at, false) })
	sub.AfterBatch(s.flush)
}

// use counts the chunks of keys once each, records the gaps of those that were
// read, and moves the last use of those in the sample.
func (s *SMLifecycleSubscriber) use(keys []kv.Key, at time.Time, read bool) {
	now := s.times.of(at)
	s.seen.begin(len(keys))
	for i := range keys {
		k := &keys[i]
		id := chunkID{k.Hash, s.sample.Names(k)}
		h := kv.SampleHash(k.Hash.Lead(), id.names, 0, 0)
		if !s.seen.add(&id, h) {
			continue
		}
		if s.count == nil || s.salt != k.Salt {
			s.salt, s.count = k.Salt, s.countOf(k.Salt)
		}
		*s.count++
		if s.sample.Takes(h) {
			s.touch(id, k.Salt, lastUse{now, *s.count}, read)
		}
	}
}

func (s *SMLifecycleSubscriber) touch(id chunkID, salt string, use lastUse, read bool) {
	if last := s.tracks.get(id); last != nil {
		if read {
			s.seconds.record((use.at - last.at).Seconds(), values{salt})
			s.chunks.record(float64(use.count-last.count), values{salt})
		}
		*last = use
		return
	}
	s.chunksFull.count(s.tracks.put(id, use))
}

// countOf is the count of a tenant, or the one that further tenants share.
func (s *SMLifecycleSubscriber) countOf(salt string) *int64 {
	n, ok := s.counts[salt]
	if !ok && len(s.counts) >= MaxSalts {
		s.saltsFull.n++
		n, ok = s.counts[otherLabel]
	}
	if !ok {
		n = new(int64)
		if len(s.counts) >= MaxSalts {
			salt = otherLabel
		}
		s.counts[salt] = n
	}
	return n
}

func (s *SMLifecycleSubscriber) flush() {
	s.chunksFull.flush()
	s.saltsFull.flush()
}

// tracks is a map of bounded size in which a random entry makes room.
type tracks struct {
	limit   int
	index   map[chunkID]int32
	entries []track
	rand    *rand.Rand
}

type track struct {
	id  chunkID
	use lastUse
}

// get returns the last use of id until the next put; nil if there is none.
func (t *tracks) get(id chunkID) *lastUse {
	i, ok := t.index[id]
	if !ok {
		return nil
	}
	return &t.entries[i].use
}

// put adds id, which is not there. It reports whether another one had to go.
func (t *tracks) put(id chunkID, use lastUse) (pushed bool) {
	if len(t.entries) < t.limit {
		t.index[id] = int32(len(t.entries))
		t.entries = append(t.entries, track{id, use})
		return false
	}
	i := t.rand.IntN(t.limit)
	delete(t.index, t.entries[i].id)
	t.index[id] = int32(i)
	t.entries[i] = track{id, use}
	return true
}
