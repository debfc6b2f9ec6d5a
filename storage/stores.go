package storage

import (
	"context"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/storage/internal/tier"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// holdFor is how long an object that has to be stored is kept from being evicted.
const holdFor = 5 * time.Second

// maxRounds is how often an object times out until its tier is not asked any more. One
// that is itself too slow for the store would otherwise keep the tier from all others,
// again and again.
const maxRounds = 3

// storeControl brings new objects to the outer tiers. What is committed waits in one
// backlog; each tier takes from it, as soon as it has a free slot, what waits for it.
//
// An object is in the backlog from its commit to the moment at which each of its
// tiers has it or will never have it. Until then L1 evicts others first, but for no
// longer than holdFor.
type storeControl struct {
	m      *Manager
	policy StorePolicy
	topics storeTopics
	mu     struct {
		sync.Mutex
		closed   bool
		entries  map[kv.Key]*storeEntry
		head     *storeEntry // by seq
		tail     *storeEntry
		held     *storeEntry // the first that may be held; nil: none
		seq      uint64
		waiting  int   // entries with tiers that have not begun
		inflight int64 // bytes leased
		tiers    []storeTier
		timer    runtime.Timer // of held
		flushes  []flush
		drops    drops
		lately   time.Time // of the last progress
		ended    []kv.Key  // of entries that have gone; L1 is told without the mutex
		unwanted []kv.Key  // those of them that leave L1
		after    []func()  // to be done without the mutex
	}
}

type storeTopics struct {
	submitted  eventbus.Topic[L2StoreSubmitted]
	completed  eventbus.Topic[L2StoreCompleted]
	dropped    eventbus.Topic[L2StoreDropped]
	readFailed eventbus.Topic[ReadFailed]
}

// storeTier is what waits and runs for one tier.
type storeTier struct {
	queue   []*storeEntry // whose todo has the tier's bit, and others that do not any more
	tasks   int           // that run
	nextID  int64
	closing bool
}

// storeEntry is an object that is not yet in all of its tiers.
type storeEntry struct {
	key        kv.Key
	after      kv.Key // the chunk before in the prompt, if known
	layout     kv.Layout
	seq        uint64
	at         time.Time
	todo       uint64 // tiers that have not begun
	running    uint64
	ok         uint64      // tiers that have it
	rounds     map[int]int // by tier: how often it was too slow until the tier was not asked any more
	isHeld     bool
	sum        tier.Sum
	prev, next *storeEntry
}

// flush waits for all entries up to a number.
type flush struct {
	mark uint64
	done chan struct{}
}

func newStoreControl(m *Manager) *storeControl {
	c := &storeControl{m: m, policy: guardStore(m, m.o.Store.Policy)}
	b := m.o.Bus
	c.topics = storeTopics{
		submitted:  eventbus.TopicOf[L2StoreSubmitted](b),
		completed:  eventbus.TopicOf[L2StoreCompleted](b),
		dropped:    eventbus.TopicOf[L2StoreDropped](b),
		readFailed: eventbus.TopicOf[ReadFailed](b),
	}
	c.mu.entries = make(map[kv.Key]*storeEntry)
	c.mu.tiers = make([]storeTier, len(m.tiers))
	c.mu.drops.notes = make(map[dropKind]*dropNote)
	return c
}

// unlock gives the mutex back and does what was put off until then.
func (c *storeControl) unlock() {
	after, ended, unwanted := c.mu.after, c.mu.ended, c.mu.unwanted
	c.mu.after, c.mu.ended, c.mu.unwanted = nil, nil, nil
	c.mu.Unlock()
	if len(ended) > 0 {
		c.m.l1.StoresEnded(c.m.rt.Now(), ended)
	}
	if len(unwanted) > 0 {
		c.m.l1.DropStored(c.m.rt.Now(), unwanted)
	}
	for _, f := range after {
		f()
	}
}

func (c *storeControl) later(f func()) { c.mu.after = append(c.mu.after, f) }

// committed takes new objects in.
func (c *storeControl) committed(at time.Time, keys []kv.Key, layout kv.Layout) {
	if len(keys) == 0 {
		return
	}
	c.mu.Lock()
	defer c.unlock()
	var refused []kv.Key
	tier.Chain(keys, func(i int, prev kv.Key) {
		if !c.takeLocked(at, keys[i], prev, layout) {
			refused = append(refused, keys[i])
		}
	})
	c.mu.ended = append(c.mu.ended, refused...)
	c.trimLocked(c.m.o.Store.MaxBacklog, DroppedBacklog, at)
	c.armLocked()
	c.pumpLocked(at)
}

// takeLocked makes an entry for a new object, unless it has one: then its store, or
// the one that runs, is also this one's. It reports whether the object has one.
func (c *storeControl) takeLocked(at time.Time, k, prev kv.Key, layout kv.Layout) bool {
	if e := c.mu.entries[k]; e != nil {
		if e.running == 0 && !e.layout.Equal(layout) {
			e.layout = layout
		}
		return true
	}
	if c.mu.closed || !c.policy.Admit(k, layout.Size()) {
		return false
	}
	todo := c.policy.Targets(k, len(c.mu.tiers)) & allTiers(len(c.mu.tiers))
	if todo == 0 {
		return false
	}
	c.mu.seq++
	e := &storeEntry{key: k, after: prev, layout: layout, seq: c.mu.seq, at: at, todo: todo, isHeld: true, prev: c.mu.tail}
	c.mu.entries[k] = e
	if e.prev != nil {
		e.prev.next = e
	} else {
		c.mu.head = e
		c.mu.lately = at
	}
	c.mu.tail = e
	if c.mu.held == nil {
		c.mu.held = e
	}
	c.mu.waiting++
	for i := range c.mu.tiers {
		if todo&(1<<i) != 0 {
			c.mu.tiers[i].queue = append(c.mu.tiers[i].queue, e)
		}
	}
	return true
}

// trimLocked drops the oldest of the entries that wait, until there are no more than
// keep.
func (c *storeControl) trimLocked(keep int, reason string, at time.Time) {
	dropped := make([]int, len(c.mu.tiers))
	for e := c.mu.head; e != nil && c.mu.waiting > keep; {
		next := e.next
		if e.todo != 0 {
			c.giveUpLocked(e, dropped)
			c.settleLocked(e)
		}
		e = next
	}
	for i, n := range dropped {
		if n > 0 {
			c.mu.tiers[i].skip(i)
		}
		c.dropLocked(i, n, reason, at)
	}
}

// skip takes what does not wait for the tier, number i, any more from the head of its
// queue. The oldest are dropped first, so nearly all that were dropped are there.
func (t *storeTier) skip(i int) {
	for len(t.queue) > 0 && t.queue[0].todo&(1<<i) == 0 {
		t.queue[0] = nil
		t.queue = t.queue[1:]
	}
	if len(t.queue) == 0 {
		t.queue = nil
	}
}

// giveUpLocked takes an entry out of the queues of all tiers that have not begun.
func (c *storeControl) giveUpLocked(e *storeEntry, dropped []int) {
	for i := range c.mu.tiers {
		if e.todo&(1<<i) != 0 {
			dropped[i]++
		}
	}
	e.todo = 0
	c.mu.waiting--
}

// settleLocked ends an entry for which nothing is left to do.
func (c *storeControl) settleLocked(e *storeEntry) {
	if e.todo|e.running != 0 || c.mu.entries[e.key] != e {
		return
	}
	delete(c.mu.entries, e.key)
	if c.mu.held == e {
		c.mu.held = e.next
	}
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		c.mu.head = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		c.mu.tail = e.prev
	}
	// e.next stays: who walks the list may stand here.
	c.mu.ended = append(c.mu.ended, e.key)
	if e.ok != 0 && c.policy.Drop(e.key) {
		c.mu.unwanted = append(c.mu.unwanted, e.key)
	}
	c.flushedLocked()
}

// armLocked sets the timer for the first object that is held too long.
func (c *storeControl) armLocked() {
	if c.mu.timer == nil && c.mu.held != nil && !c.mu.closed {
		c.mu.timer = c.m.rt.At(c.mu.held.at.Add(holdFor), c.late)
	}
}

// late lets L1 evict what has waited for long.
func (c *storeControl) late() {
	c.mu.Lock()
	defer c.unlock()
	c.mu.timer = nil
	now := c.m.rt.Now()
	var keys []kv.Key
	for c.mu.held != nil && !now.Before(c.mu.held.at.Add(holdFor)) {
		c.mu.held.isHeld = false
		keys = append(keys, c.mu.held.key)
		c.mu.held = c.mu.held.next
	}
	if len(keys) > 0 {
		c.m.l1.StoresLate(now, keys)
	}
	c.armLocked()
}

// Flush returns when every object committed before the call is in each of its
// tiers, or was refused by it or given up.
func (c *storeControl) flush(ctx context.Context) error {
	c.mu.Lock()
	if c.mu.head == nil {
		c.mu.Unlock()
		return ctx.Err()
	}
	f := flush{mark: c.mu.seq, done: make(chan struct{})}
	c.mu.flushes = append(c.mu.flushes, f)
	c.mu.Unlock()
	return c.m.wait(ctx, f.done)
}

// flushedLocked wakes those whose objects have been dealt with.
func (c *storeControl) flushedLocked() {
	n := 0
	for _, f := range c.mu.flushes {
		if c.mu.head != nil && c.mu.head.seq <= f.mark {
			c.mu.flushes[n] = f
			n++
		} else {
			c.later(func() { close(f.done) })
		}
	}
	c.mu.flushes = c.mu.flushes[:n]
}

// close takes nothing more in and waits until everything is stored, ctx ends or
// the time to drain is over; then the rest is dropped. Stores that run end with
// their tier.
func (c *storeControl) close(ctx context.Context, patience time.Duration) {
	c.mu.Lock()
	c.mu.closed = true
	if c.mu.timer != nil {
		c.mu.timer.Stop()
		c.mu.timer = nil
	}
	c.unlock()
	if patience > 0 {
		c.drain(ctx, patience)
	}
	c.mu.Lock()
	defer c.unlock()
	c.trimLocked(0, DroppedShutdown, c.m.rt.Now())
}

// drain waits for what can still be stored: what waits for a tier that is not asked
// at present is given up at once.
func (c *storeControl) drain(ctx context.Context, patience time.Duration) {
	c.mu.Lock()
	now := c.m.rt.Now()
	until := now.Add(patience)
	for i, t := range c.m.tiers {
		if !t.Live() {
			c.dropTierLocked(i, now)
		}
	}
	c.pumpLocked(now)
	if c.mu.head == nil {
		c.unlock()
		return
	}
	f := flush{mark: c.mu.seq, done: make(chan struct{})}
	c.mu.flushes = append(c.mu.flushes, f)
	c.unlock()
	c.m.rt.Wait(ctx, f.done, until)
}

// dropTierLocked gives up what waits for one tier.
func (c *storeControl) dropTierLocked(i int, now time.Time) {
	t := &c.mu.tiers[i]
	t.closing = true
	n := 0
	queue := t.queue
	t.queue = nil
	for _, e := range queue {
		if e.todo&(1<<i) == 0 {
			continue
		}
		n++
		c.doneLocked(e, i)
		c.settleLocked(e)
	}
	c.dropLocked(i, n, DroppedShutdown, now)
}

// againLocked reports whether an object waits for a tier that is not asked at present;
// slow says that a call with it has timed out before.
func (e *storeEntry) againLocked(i int, slow bool) bool {
	if !slow {
		return true
	}
	if e.rounds == nil {
		e.rounds = make(map[int]int)
	}
	e.rounds[i]++
	return e.rounds[i] < maxRounds
}

// doneLocked takes a tier's bit out of an entry's todo.
func (c *storeControl) doneLocked(e *storeEntry, i int) {
	if e.todo &^= 1 << i; e.todo == 0 {
		c.mu.waiting--
	}
}
