package tier

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Tier is one adapter and what is decided about it. Its methods are safe for
// concurrent use, do not wait for the adapter and call nothing back, except where
// they say so.
type Tier struct {
	o       Options
	s       l2.Settings
	adapter l2.Adapter
	format  l2.Format
	serde   *serde // nil: objects are stored as they are
	log     *slog.Logger
	rt      runtime.Runtime
	heads   heads
	scratch *scratch
	ctx     context.Context //nolint:containedctx // the life of all calls, ended by Stop
	cancel  context.CancelFunc
	mu      struct {
		sync.Mutex
		state
	}
}

// state is everything that the mutex guards.
type state struct {
	stopped bool // nothing new is accepted
	loads   jobQueue
	stores  jobQueue
	lookups []*Lookup   // that wait
	deletes []*deletion // that wait
	paused  []*pause    // stores that are tried again later
	running int         // slots in use
	storing int         // those of them that stores have
	ahead   int         // calls of loads that went before stores that wait
	wanted  bool        // StoreRoom was asked in vain
	asking  int         // lookups under way
	peeking int         // calls of Peek that have not returned
	erasing bool        // a deletion is under way
	calls   []*call     // that have not returned
	after   []func()    // to be done without the mutex
	logs    []func()    // and then: nobody waits for a log
	alarm   runtime.Timer
	due     time.Time // of alarm
	breaker breaker
	scan    *scan // nil: none is under way
	index   index
	pins    []*Pins   // by expiry
	limit   int64     // of the store itself; negative: none
	heard   hearsay   // of limit
	full    bool      // the last eviction failed
	rest    *rest     // of background eviction; nil: the last one has removed something
	stuckAt time.Time // when it was last said that evictions remove nothing
	counts  counts
	closed  chan struct{} // made by Leave, closed when the adapter is
	failed  error         // of the adapter's Close
	alone   bool          // nobody waits for closed any more

	doomed  map[kv.Key]doom // whose deletion waits or is under way, except of an eviction
	writing map[kv.Key]int  // of which stores are under way, and how many
	removed removals        // while lookups are under way

	aside    aside // stores of keys that are being deleted
	freed    int64 // bytes that deletions have removed
	promised int64 // and will have, for stores that wait for that
}

// counts is what has happened since the start.
type counts struct {
	failures    map[l2.Reason]int64
	written     int64
	read        int64
	corrupt     int64
	retries     int64
	evicted     int64
	lastSuccess time.Time
	lastFailure time.Time
	progress    time.Time // of the last call that returned
}

// New makes a Tier. Its adapter is not asked anything yet.
func New(o Options) *Tier {
	o.Settings = o.Settings.WithDefaults()
	t := &Tier{o: o, s: o.Settings, adapter: o.Adapter, log: o.Logger, rt: o.Runtime}
	if t.adapter == nil {
		t.adapter = newModel()
	} else if t.s.Serde != nil {
		t.serde = newSerde(t.s.Serde)
	}
	t.format = l2.FormatOf(t.adapter)
	t.log = t.log.With(slog.Int("adapter_index", o.Index), slog.String("l2_name", o.Name))
	t.heads.bound = t.s.Workers * t.s.PerOpWorkers
	t.scratch = newScratch(t.s.SerdeWorkers)
	t.ctx, t.cancel = context.WithCancel(context.Background()) //nolint:forbidigo // the root of all calls, ended by Stop
	t.mu.breaker = breaker{s: t.s.Breaker, state: StateClosed}
	t.mu.index = newIndex(t.s.Eviction)
	t.mu.limit = -1
	t.mu.counts.failures = make(map[l2.Reason]int64)
	if _, ok := l2.AbilityOf[l2.Scanner](t.adapter); !ok {
		t.mu.index.complete = true
	}
	return t
}

// Name is the type of the adapter as it was configured.
func (t *Tier) Name() string { return t.o.Name }

// Index is the position among the tiers.
func (t *Tier) Index() int { return t.o.Index }

// lock takes the mutex; unlock gives it back and does what was put off until then.
func (t *Tier) lock() { t.mu.Lock() }

func (t *Tier) unlock() {
	after, logs := t.mu.after, t.mu.logs
	t.mu.after, t.mu.logs = nil, nil
	t.mu.Unlock()
	for _, f := range after {
		f()
	}
	for _, f := range logs {
		f()
	}
}

// later puts f off until the mutex is free.
func (t *Tier) later(f func()) { t.mu.after = append(t.mu.after, f) }

// say has f write a log, after everything that is put off.
func (t *Tier) say(f func()) { t.mu.logs = append(t.mu.logs, f) }

// StoredSize is what an object takes in the store if no serde changes its length.
func (t *Tier) StoredSize(key kv.Key, layout kv.Layout) int64 {
	return t.format.StoredSize(t.format.HeadLen(key, t.serdeName()), layout.Size())
}

func (t *Tier) serdeName() string {
	if t.serde == nil {
		return ""
	}
	return t.serde.name
}

// submit queues a job, which must not be used again. Its callbacks may run before
// submit returns.
func (t *Tier) submit(j *Job, store bool) {
	if store {
		t.measure(j)
	}
	t.lock()
	defer t.unlock()
	j.store, j.open = store, len(j.Objects)
	err := error(nil)
	switch {
	case t.mu.stopped:
		err = l2.ErrClosed
	case t.mu.breaker.state != StateClosed:
		err = ErrOpen
	}
	if err != nil {
		for i := range j.Objects {
			t.settleLocked(j, i, err)
		}
		return
	}
	j.todo = make([]int, len(j.Objects))
	for i := range j.todo {
		j.todo[i] = i
	}
	t.enqueueLocked(j)
	t.dispatchLocked(t.rt.Now())
}

// Load queues the loads of a job.
func (t *Tier) Load(j *Job) { t.submit(j, false) }

// Store queues the stores of a job.
func (t *Tier) Store(j *Job) { t.submit(j, true) }

// Live reports whether the tier can be asked now.
func (t *Tier) Live() bool {
	t.lock()
	defer t.unlock()
	return !t.mu.stopped && t.mu.breaker.state == StateClosed
}

// StoreRoom is how many stores could begin at once. While loads wait these are the
// objects of one call, if it is the turn of stores, and otherwise none: the sink's Room
// tells when it is.
func (t *Tier) StoreRoom() int {
	t.lock()
	defer t.unlock()
	if t.mu.stopped || t.mu.breaker.state != StateClosed {
		return 0
	}
	room := (t.s.Workers - t.mu.running) * t.s.PerOpWorkers
	if t.mu.loads.head() != nil {
		if room = 0; t.turnLocked() {
			room = t.s.PerOpWorkers
		}
	}
	room = max(0, room-t.mu.stores.objects())
	t.mu.wanted = room == 0
	return room
}

// failedLocked counts failures of objects.
func (t *Tier) failedLocked(why l2.Reason, n int64) {
	t.mu.counts.failures[why] += n
}
