package storage

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/internal/tier"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// maxLookups is the most prefetches that ask the tiers at a time.
const maxLookups = 64

// writerPatience is how long a prefetch waits for a writer to finish an object.
const writerPatience = time.Second

// fetchControl runs the prefetches that need the outer tiers:
//
//	queued ──▶ lookup ──▶ (waits for room) ──▶ load ──▶ done
//
// Each resolves exactly once: when it is done, at its deadline, when its handle is
// released, or when the manager closes. What it has started goes on after that
// (it drains), and what arrives then stays in L1, leased to nobody.
//
// A key is loaded once at a time: who wants it meanwhile joins that flight and gets
// its holders in the step in which the object becomes readable.
type fetchControl struct {
	m       *Manager
	policy  PrefetchPolicy
	topics  fetchTopics
	writers atomic.Int64 // prefetches that wait for writers
	mu      struct {
		sync.Mutex
		closed    bool
		nextID    int64
		nextTask  []int64  // by tier
		active    []*fetch // not resolved or draining, by id
		queue     []*fetch // to be looked up
		ready     []*fetch // looked up; they wait for room
		looking   int
		loading   int
		bytes     int64 // reserved in L1
		flights   map[flightKey]*flight
		inflight  []int   // loads by tier
		planned   []int64 // bytes of these
		completed int64   // resolved and not released
		deadlines int64
		joined    int64
		lately    time.Time
		kick      bool     // room may have become free
		check     []*fetch // that may have ended
		after     []func() // to be done without the mutex
		told      []func() // and then: nobody waits for a log or a subscriber
	}
}

type fetchTopics struct {
	lookupSubmitted  eventbus.Topic[L2LookupSubmitted]
	lookupCompleted  eventbus.Topic[L2LookupCompleted]
	loadSubmitted    eventbus.Topic[L2LoadSubmitted]
	loadCompleted    eventbus.Topic[L2LoadCompleted]
	taskSubmitted    eventbus.Topic[L2LoadTaskSubmitted]
	taskCompleted    eventbus.Topic[L2LoadTaskCompleted]
	failed           eventbus.Topic[L2PrefetchFailed]
	deadline         eventbus.Topic[L2PrefetchDeadline]
	allocationFailed eventbus.Topic[AllocationFailed]
}

// phase is where a prefetch is.
type phase string

const (
	phaseQueued phase = "queued"
	phaseLookup phase = "lookup"
	phaseLoad   phase = "load"
	phaseDone   phase = "done"
)

// fetch is one prefetch that needs the outer tiers.
type fetch struct {
	c        *fetchControl
	p        *Prefetch
	ctx      context.Context //nolint:containedctx // its values, for the log line at the end
	phase    phase
	budget   time.Duration // 0: none
	deadline time.Time     // zero: none
	timer    runtime.Timer
	inL1     Bitmap // leased at submission
	missing  []int  // positions to be supplied, each key once
	repeats  []int  // positions whose key stands earlier among the missing ones

	// By position.
	source []source
	why    []MissReason

	// Of the lookup.
	has     []uint64       // by position: tiers that have it
	asked   []*tier.Lookup // by tier; until it is decided
	ended   []bool         // by tier: it has answered
	broken  MissReason
	pins    []*tier.Pins // by tier
	decided bool         // answers do not count any more

	// Of the load.
	write    l1.WriteLease
	loads    []*load
	size     int64 // bytes reserved
	slot     bool  // it counts as loading
	own      int   // objects of its loads without an outcome
	joins    int   // objects of others' loads and writers that it waits for
	staged   []int // positions that a writer is at
	patience runtime.Timer
	sent     bool // LoadSubmitted was published
	loaded   int
	failed   int
	got      []bool // by position: it was supplied by a load
	shared   int    // objects that others' loads supplied
	lost     map[string][]kv.Key

	resolved  bool
	cancelled bool          // by the release of its handle
	planned   chan struct{} // closed when plan is known
	plan      int
	known     bool
	done      chan struct{} // closed when it is resolved
	result    PrefetchResult
	then      []func() // once it is resolved
}

// source says where a position is to come from.
type source uint8

const (
	fromNowhere source = iota
	fromL1
	fromTier   // this prefetch loads it
	fromFlight // another one does
	fromWriter // somebody writes it
)

// flightKey is what a load makes.
type flightKey struct {
	key kv.Key
	fp  kv.Fingerprint
}

// flight is one load of a key and who waits for it.
type flight struct {
	load  *load
	keep  bool
	joins []join
}

// join is a prefetch's position that a flight supplies.
type join struct {
	f   *fetch
	pos int
}

func newFetchControl(m *Manager) *fetchControl {
	c := &fetchControl{m: m, policy: guardPrefetch(m, m.o.Prefetch.Policy)}
	b := m.o.Bus
	c.topics = fetchTopics{
		lookupSubmitted:  eventbus.TopicOf[L2LookupSubmitted](b),
		lookupCompleted:  eventbus.TopicOf[L2LookupCompleted](b),
		loadSubmitted:    eventbus.TopicOf[L2LoadSubmitted](b),
		loadCompleted:    eventbus.TopicOf[L2LoadCompleted](b),
		taskSubmitted:    eventbus.TopicOf[L2LoadTaskSubmitted](b),
		taskCompleted:    eventbus.TopicOf[L2LoadTaskCompleted](b),
		failed:           eventbus.TopicOf[L2PrefetchFailed](b),
		deadline:         eventbus.TopicOf[L2PrefetchDeadline](b),
		allocationFailed: eventbus.TopicOf[AllocationFailed](b),
	}
	n := len(m.tiers)
	c.mu.flights = make(map[flightKey]*flight)
	c.mu.nextTask, c.mu.inflight, c.mu.planned = make([]int64, n), make([]int, n), make([]int64, n)
	return c
}

// unlock gives the mutex back and does what was put off until then.
func (c *fetchControl) unlock() {
	for c.mu.kick || len(c.mu.check) > 0 {
		check := c.mu.check
		c.mu.check, c.mu.kick = nil, false
		at := c.m.rt.Now()
		for _, f := range check {
			c.finishLocked(f, at)
		}
		c.admitReadyLocked(at)
	}
	after, told := c.mu.after, c.mu.told
	c.mu.after, c.mu.told = nil, nil
	c.mu.Unlock()
	for _, f := range after {
		f()
	}
	for _, f := range told {
		f()
	}
}

func (c *fetchControl) later(f func()) { c.mu.after = append(c.mu.after, f) }

// newFetch makes the part of a prefetch that the tiers are asked for; nil: there is
// none.
func (c *fetchControl) newFetch(ctx context.Context, p *Prefetch) *fetch {
	n := len(p.keys)
	f := &fetch{
		c: c, p: p, ctx: context.WithoutCancel(ctx), phase: phaseQueued, inL1: NewBitmap(n),
		source: make([]source, n), why: make([]MissReason, n), has: make([]uint64, n), got: make([]bool, n),
		planned: make(chan struct{}), done: make(chan struct{}), lost: map[string][]kv.Key{},
	}
	seen := make(map[kv.Key]struct{})
	for i := range p.keys {
		if p.l.Code(i) == l1.Success {
			f.source[i] = fromL1
			f.inL1.Set(i)
			continue
		}
		f.why[i] = missReason(p.l.Detail(i))
		if _, repeat := seen[p.keys[i]]; repeat {
			f.repeats = append(f.repeats, i)
			continue
		}
		seen[p.keys[i]] = struct{}{}
		f.missing = append(f.missing, i)
	}
	t := len(c.m.tiers)
	f.asked, f.ended, f.pins = make([]*tier.Lookup, t), make([]bool, t), make([]*tier.Pins, t)
	switch {
	case p.o.Deadline > 0:
		f.budget = p.o.Deadline
	case !p.o.Warm && c.m.o.Prefetch.Timeout > 0:
		f.budget = c.m.o.Prefetch.Timeout
	}
	if f.budget > 0 {
		f.deadline = p.at.Add(f.budget)
	}
	return f
}

// submit queues a prefetch. It returns at once.
func (c *fetchControl) submit(f *fetch) {
	c.mu.Lock()
	defer c.unlock()
	f.p.id = c.mu.nextID
	c.mu.nextID++
	at := f.p.at
	if c.mu.closed {
		f.phase = phaseDone
		c.resolveLocked(f, at, MissClosed)
		return
	}
	c.mu.active = append(c.mu.active, f)
	if !f.deadline.IsZero() {
		f.timer = c.m.rt.At(f.deadline, func() { c.expire(f) })
	}
	if len(c.mu.active) == 1 {
		c.mu.lately = at
	}
	c.mu.queue = append(c.mu.queue, f)
	c.lookLocked(at)
}

// when calls then as soon as f is resolved, under no lock.
func (c *fetchControl) when(f *fetch, then func()) {
	c.mu.Lock()
	defer c.unlock()
	if f.resolved {
		c.later(then)
		return
	}
	f.then = append(f.then, then)
}

// expire resolves a prefetch with what there is at its deadline.
func (c *fetchControl) expire(f *fetch) {
	c.mu.Lock()
	defer c.unlock()
	if f.resolved {
		return
	}
	at := c.m.rt.Now()
	was := f.phase
	if f.phase == phaseLoad {
		for _, l := range c.suppliersLocked(f) {
			c.takeLocked(l, false, at)
		}
		c.finishLocked(f, at)
	}
	if f.resolved { // that was all
		return
	}
	c.mu.deadlines++
	c.concludeLocked(f, at, MissDeadline)
	c.topics.deadline.PublishAt(L2PrefetchDeadline{
		RequestID: f.p.id, Phase: string(was), Budget: f.budget, Elapsed: at.Sub(f.p.at),
		RetainedCount: f.result.Found.Count(), MissedCount: len(f.p.keys) - f.result.Found.Count(),
	}, at)
	c.announceLocked(f, at)
	c.leaveLocked(f, at)
}

// cancel resolves a prefetch whose handle was released. It holds nothing any more.
func (c *fetchControl) cancel(f *fetch) {
	c.mu.Lock()
	defer c.unlock()
	if f.resolved {
		c.mu.completed--
		return
	}
	at := c.m.rt.Now()
	f.cancelled = true
	c.resolveLocked(f, at, MissClosed)
	c.mu.completed--
	c.leaveLocked(f, at)
}

// close resolves all prefetches with what there is.
func (c *fetchControl) close() {
	c.mu.Lock()
	defer c.unlock()
	c.mu.closed = true
	at := c.m.rt.Now()
	for _, f := range slices.Clone(c.mu.active) {
		if !f.resolved {
			c.resolveLocked(f, at, MissClosed)
			c.leaveLocked(f, at)
		}
	}
}

// leaveLocked takes a resolved prefetch out of the queues. One that loads drains.
func (c *fetchControl) leaveLocked(f *fetch, at time.Time) {
	same := func(o *fetch) bool { return o == f }
	switch f.phase {
	case phaseQueued:
		c.mu.queue = slices.DeleteFunc(c.mu.queue, same)
		c.endLocked(f, at)
	case phaseLookup:
		c.mu.ready = slices.DeleteFunc(c.mu.ready, same)
		c.mu.kick = true // it may have held others up
		if !f.decided {
			c.decideLocked(f)
		}
		c.topics.lookupCompleted.PublishAt(L2LookupCompleted{RequestID: f.p.id}, at)
		c.unpinLocked(f)
		c.endLocked(f, at)
		c.lookLocked(at)
	default:
		c.finishLocked(f, at)
	}
}

// endLocked forgets a prefetch that has nothing under way.
func (c *fetchControl) endLocked(f *fetch, at time.Time) {
	f.phase = phaseDone
	c.mu.lately = at
	c.mu.active = slices.DeleteFunc(c.mu.active, func(o *fetch) bool { return o == f })
}

// unpinLocked gives the pins of a prefetch back.
func (c *fetchControl) unpinLocked(f *fetch) {
	for i, p := range f.pins {
		f.pins[i] = nil
		c.dropLocked(p)
	}
}

// dropLocked gives pins back at once: another goroutine may be the one that tells who
// waits for the prefetch, who may delete what was pinned.
func (c *fetchControl) dropLocked(p *tier.Pins) {
	if p != nil {
		p.Unpin()
		c.later(p.Release)
	}
}
