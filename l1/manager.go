package l1

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1/internal/arena"
	"github.com/lmcache-go/lmcache/l1/internal/slab"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Manager keeps objects in one arena of host memory. All methods are safe for
// concurrent use, run on the caller's goroutine, do no I/O and hold the one mutex
// for at most 64 keys at a time. Methods take the time of the call: the events of
// a call carry it, and leases run from it.
type Manager struct {
	o      Options
	rt     runtime.Runtime
	live   *runtime.Live // rt, if this manager made it
	arena  *arena.Arena  // for addresses, which never change; the allocator is guarded by mu
	mem    *memory       // nil with NoBytes
	topics topics
	// isolates says that the policy tells tenants apart; quotas is held over a
	// change of a quota, and mu is taken under it.
	isolates bool
	quotas   sync.Mutex
	mu       state
}

// state is everything that the mutex guards.
type state struct {
	mutex
	closed     bool
	now        time.Time // latest time seen
	arena      *arena.Arena
	policy     guard
	index      table // of families, by fingerprint
	indexed    int   // entries that are members of families
	entries    slab.Slab[entry]
	entryLimit uint32 // ids in use are below
	bufs       slab.Slab[buffer]
	families   slab.Slab[family]
	absent     struct { // families without members, oldest first
		head, tail uint32
		n          int
	}
	models, salts names
	layouts       []layoutRec // id 0 is not used
	layoutIDs     map[kv.Fingerprint]uint32
	leases        []*lease // by id; 0 is not used
	freeLeases    []*lease
	reads, writes leaseList
	timer         runtime.Timer // of the next expiry; nil: not set
	timerDue      time.Time     // when it fires
	warnings      []warning     // to be logged by the timer
	lapses        []Lapse       // to be told by it
	protections   []*protection // not in use
	gained        holding       // all that has ever become evictable
	turns         uint64        // entries that became evictable, or ceased to be
	limits        []uint32      // salts with a quota, by text
	sweep         sweep
	evictor       evictor
	waiters       []chan struct{} // of reservations that wait for memory
	scratch       scratch
	removed       keyLog // keys that removeLocked took out
	removedKeys   int64
	removedBytes  int64
	tick          tick
	shortage      Shortage // the last one explained
	silent        int64    // shortages since
	stats         Stats    // what is counted; Stats fills in the rest
}

type topics struct {
	readReserved                 eventbus.Topic[ReadReserved]
	readFinished                 eventbus.Topic[ReadFinished]
	writeReserved                eventbus.Topic[WriteReserved]
	writeFinished                eventbus.Topic[WriteFinished]
	writeFinishedAndReadReserved eventbus.Topic[WriteFinishedAndReadReserved]
	writeAborted                 eventbus.Topic[WriteAborted]
	keysEvicted                  eventbus.Topic[KeysEvicted]
	keysAccessed                 eventbus.Topic[KeysAccessed]
	leaseExpired                 eventbus.Topic[LeaseExpired]
	tick                         eventbus.Topic[EvictionLoopTick]
}

// New is Open with a context that does not end.
func New(o Options) (*Manager, error) {
	return Open(context.Background(), o) //nolint:forbidigo // for callers that have none; only Eager memory takes long
}

// Open gets the memory and returns an empty manager. It reports all problems of
// the options at once, then all of the machine (CheckMachine), and leaves nothing
// behind when it fails. The end of ctx stops it while it makes Eager memory ready.
func Open(ctx context.Context, o Options) (*Manager, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := o.CheckMachine(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	pol, err := o.policy()
	if err != nil {
		return nil, fmt.Errorf("l1: %w", err)
	}
	m := &Manager{o: o, rt: o.Runtime}
	if m.rt == nil {
		m.live = runtime.NewLive()
		m.rt = m.live
	}
	m.topics = topics{
		readReserved:                 eventbus.TopicOf[ReadReserved](o.Bus),
		readFinished:                 eventbus.TopicOf[ReadFinished](o.Bus),
		writeReserved:                eventbus.TopicOf[WriteReserved](o.Bus),
		writeFinished:                eventbus.TopicOf[WriteFinished](o.Bus),
		writeFinishedAndReadReserved: eventbus.TopicOf[WriteFinishedAndReadReserved](o.Bus),
		writeAborted:                 eventbus.TopicOf[WriteAborted](o.Bus),
		keysEvicted:                  eventbus.TopicOf[KeysEvicted](o.Bus),
		keysAccessed:                 eventbus.TopicOf[KeysAccessed](o.Bus),
		leaseExpired:                 eventbus.TopicOf[LeaseExpired](o.Bus),
		tick:                         eventbus.TopicOf[EvictionLoopTick](o.Bus),
	}
	s := &m.mu
	s.policy = guard{p: pol}
	m.isolates = s.policy.isolating() != nil
	s.index = newTable()
	s.models, s.salts = newNames(), newNames()
	s.layouts = make([]layoutRec, 1)
	s.layoutIDs = make(map[kv.Fingerprint]uint32)
	s.leases = make([]*lease, 1)
	s.reads.ttl, s.writes.ttl = o.ReadTTL, o.WriteTTL
	s.sweep.take = s.sweep.victim
	if err := openMemory(ctx, m); err != nil {
		if m.live != nil {
			m.live.Close()
		}
		return nil, err
	}
	now := m.rt.Now()
	s.Lock()
	s.now = now
	m.armTickLocked(now)
	s.Unlock()
	for _, salt := range slices.Sorted(maps.Keys(o.Quotas)) {
		if err := m.SetQuota(now, salt, o.Quotas[salt]); err != nil {
			return nil, errors.Join(err, m.Close())
		}
	}
	return m, nil
}

// errNoKeys says that a call named no keys.
var errNoKeys = errors.New("no keys")

func (m *Manager) checkCall(op string, keys []kv.Key, layout kv.Layout) error {
	switch {
	case len(keys) == 0:
		return fmt.Errorf("l1: %s: %w", op, errNoKeys)
	case layout.IsZero():
		return fmt.Errorf("l1: %s: layout: not set", op)
	case layout.Size() > m.arena.Size():
		return fmt.Errorf("l1: %s: layout: an object of %d bytes is larger than the capacity of %d bytes",
			op, layout.Size(), m.arena.Size())
	}
	return nil
}

// LeakError says that Close found memory that is still lent out.
type LeakError struct {
	Leases int
	Bytes  int64
	Oldest time.Duration
	Owner  string // of the oldest lease
}

// Error names the count, the bytes and the oldest holder.
func (e *LeakError) Error() string {
	return fmt.Sprintf("l1: close: %d leases still hold %d bytes, the oldest for %v by %q; the memory stays mapped",
		e.Leases, e.Bytes, e.Oldest, e.Owner)
}

// Close refuses new work, waits for the goroutines of the manager and unmaps the
// memory. If leases are outstanding or a device has memory pinned, the memory stays
// mapped, and the error is a *LeakError, a *PinnedError, or both. Closing twice is
// harmless.
func (m *Manager) Close() error {
	m.mu.Lock()
	if m.mu.closed {
		m.mu.Unlock()
		return nil
	}
	m.mu.closed = true
	if m.mu.timer != nil {
		m.mu.timer.Stop()
	}
	m.freedLocked()
	now := m.rt.Now()
	var leak LeakError
	for _, l := range m.mu.leases[1:] {
		if l.open == 0 {
			continue
		}
		held := int64(0)
		for i := range l.items {
			if st := l.items[i].state; (st == itemOpen || st == itemLost) && l.items[i].buf != 0 {
				held += m.arena.Physical(l.layout.Size())
			}
		}
		if held == 0 {
			continue
		}
		leak.Leases++
		leak.Bytes += held
		if age := now.Sub(l.began); age >= leak.Oldest {
			leak.Oldest, leak.Owner = age, l.owner
		}
	}
	m.mu.arena.Close()
	pinned := m.mem.pinErrorLocked()
	warnings := m.mu.warnings
	m.mu.warnings = nil
	m.mu.Unlock()
	m.log(warnings) // the timer does not come to it any more
	m.mem.stop()
	if m.live != nil {
		m.live.Close()
	}
	if leak.Leases > 0 {
		return errors.Join(&leak, pinned)
	}
	if pinned != nil {
		return pinned
	}
	return m.mem.close()
}
