package observe

import (
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// L0LifecycleSubscriber follows sampled blocks of the host's own paged cache by
// what its scheduler reports: rows 36 to 38. That a block was evicted shows when it
// is allocated with other content; blocks that the host uses again from its own
// prefix cache are not reported, so that evictions and uses are both under-counted.
// It keeps at most [MaxL0Blocks] blocks, those outside of the sample included, and
// [MaxL0Requests] requests that own some.
type L0LifecycleSubscriber struct {
	lifetime, idle, gap *histogram

	draw      draw
	times     timeline
	blocks    map[blockID]*block
	left      map[blockID]struct{} // outside of the sample, for good
	requests  aged[string, map[blockID]struct{}]
	instances instances

	blocksFull, requestsFull *bound
}

// blockID is one block of one host.
type blockID struct {
	instance int64
	id       int32
}

// block is what a block holds.
type block struct {
	content             uint64   // hash of its tokens
	owners              []string // requests; none: released
	allocated, accessed time.Duration
	accesses            [4]time.Duration // the last ones, a ring
	n                   int              // of accesses, ever
	model               string
}

// NewL0LifecycleSubscriber makes its instruments on mp.
func NewL0LifecycleSubscriber(mp metric.MeterProvider, o MetricOptions) (*L0LifecycleSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	s := &L0LifecycleSubscriber{
		lifetime: in.histogram(nameL0Lifetime), idle: in.histogram(nameL0Idle), gap: in.histogram(nameL0Gap),
		draw: newDraw(in.rate), blocks: make(map[blockID]*block), left: make(map[blockID]struct{}),
		requests: newAged[string, map[blockID]struct{}](MaxL0Requests),
	}
	s.blocksFull, s.requestsFull = in.bound(s.Name(), "blocks"), in.bound(s.Name(), "requests")
	return s, in.err()
}

// Name is the name of the type.
func (*L0LifecycleSubscriber) Name() string { return "L0LifecycleSubscriber" }

// Watch tells which engine's registrations give the block size of a host and end
// the life of its blocks. It may be called at any time; nil ends it.
func (s *L0LifecycleSubscriber) Watch(e EngineStats) { s.instances.watch(e) }

// Subscribe asks for the events.
func (s *L0LifecycleSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e lmcache.BlocksAllocated, at time.Time) {
		tokens := s.instances.blockTokens(e.InstanceID)
		for i := range e.Records {
			s.allocated(&e, &e.Records[i], tokens, s.times.of(at))
		}
	})
	eventbus.On(sub, func(e lmcache.SessionEnding, _ time.Time) {
		if e.RequestID != "" {
			s.leave(e.RequestID)
		}
	})
	sub.AfterBatch(s.flush)
	sub.Every(time.Second, func(time.Time) {
		for _, gone := range s.instances.refresh() {
			s.forget(gone)
		}
	})
}

// allocated handles one record: block i holds tokens [i*size, (i+1)*size).
func (s *L0LifecycleSubscriber) allocated(e *lmcache.BlocksAllocated, r *lmcache.BlockAllocation, size int, now time.Duration) {
	if len(r.NewBlockIDs) == 0 {
		return
	}
	if size == 0 {
		size = (len(r.NewTokenIDs) + len(r.NewBlockIDs) - 1) / len(r.NewBlockIDs)
	}
	for i, id := range r.NewBlockIDs {
		if i*size >= len(r.NewTokenIDs) {
			return
		}
		if id := (blockID{e.InstanceID, int32(id)}); s.follows(id) {
			s.see(id, hashTokens(r.NewTokenIDs[i*size:min((i+1)*size, len(r.NewTokenIDs))]), r.RequestID, e.Model, now)
		}
	}
}

// follows draws once for each block.
func (s *L0LifecycleSubscriber) follows(id blockID) bool {
	if _, ok := s.left[id]; ok {
		return false
	}
	if _, ok := s.blocks[id]; ok {
		return true
	}
	if len(s.blocks)+len(s.left) >= MaxL0Blocks {
		s.blocksFull.count(true)
		return false
	}
	if s.draw.wins() {
		s.blocks[id] = nil
		return true
	}
	s.left[id] = struct{}{}
	return false
}

// see handles a followed block that was given to a request with that content.
func (s *L0LifecycleSubscriber) see(id blockID, content uint64, request, model string, now time.Duration) {
	b := s.blocks[id]
	switch {
	case b == nil:
	case b.content != content:
		s.evicted(id, b, now)
		b = nil
	case slices.Contains(b.owners, request):
		return
	case len(b.owners) == 0: // used again
		b.accessed = now
		b.accesses[b.n%len(b.accesses)] = now
		b.n++
	}
	if b == nil {
		b = &block{content: content, allocated: now, accessed: now, model: model}
		s.blocks[id] = b
	}
	s.own(request, id, b)
}

// evicted records the life of a block that has other content now.
func (s *L0LifecycleSubscriber) evicted(id blockID, b *block, now time.Duration) {
	k := values{strconv.FormatInt(id.instance, 10), b.model}
	s.lifetime.record((now - b.allocated).Seconds(), k)
	s.idle.record((now - b.accessed).Seconds(), k)
	for i := max(b.n-len(b.accesses), 0) + 1; i < b.n; i++ {
		s.gap.record((b.accesses[i%len(b.accesses)] - b.accesses[(i-1)%len(b.accesses)]).Seconds(), k)
	}
	s.unlink(id, b)
}

// own makes request an owner of b.
func (s *L0LifecycleSubscriber) own(request string, id blockID, b *block) {
	owned := s.requests.get(request)
	if owned == nil {
		if s.requests.full() {
			oldest, _, _ := s.requests.oldest()
			s.leave(oldest)
			s.requestsFull.count(true)
		}
		s.requests.put(request, make(map[blockID]struct{}))
		owned = s.requests.get(request)
	}
	(*owned)[id] = struct{}{}
	b.owners = append(b.owners, request)
}

// leave takes all its blocks from a request.
func (s *L0LifecycleSubscriber) leave(request string) {
	owned := s.requests.get(request)
	if owned == nil {
		return
	}
	for id := range *owned {
		b := s.blocks[id]
		b.owners = slices.DeleteFunc(b.owners, func(r string) bool { return r == request })
	}
	s.requests.remove(request)
}

// unlink takes a block from its owners. A request without blocks is forgotten.
func (s *L0LifecycleSubscriber) unlink(id blockID, b *block) {
	for _, r := range b.owners {
		owned := s.requests.get(r)
		delete(*owned, id)
		if len(*owned) == 0 {
			s.requests.remove(r)
		}
	}
}

// forget forgets all blocks of a host.
func (s *L0LifecycleSubscriber) forget(instance int64) {
	for id, b := range s.blocks {
		if id.instance == instance {
			s.unlink(id, b)
			delete(s.blocks, id)
		}
	}
	for id := range s.left {
		if id.instance == instance {
			delete(s.left, id)
		}
	}
}

func (s *L0LifecycleSubscriber) flush() {
	s.blocksFull.flush()
	s.requestsFull.flush()
}

// hashTokens is a hash of 64 bits of tokens and their number.
func hashTokens(tokens []int32) uint64 {
	h := uint64(len(tokens))
	for _, t := range tokens {
		h = kv.Mix64(h ^ uint64(uint32(t)))
	}
	return h
}
