package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/internal/tier"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// ErrClosed is returned by operations on a closed Manager.
var ErrClosed = errors.New("storage: closed")

// Key names an object.
type Key = kv.Key

// Manager finds, lends and keeps objects. All methods are safe for concurrent
// use and return at once.
type Manager struct {
	o           Options
	rt          runtime.Runtime
	live        *runtime.Live // rt, if this manager made it
	l1          *l1.Manager
	tiers       []*tier.Tier
	stores      *storeControl // nil without tiers, like the next
	fetches     *fetchControl
	quotas      tierQuotas
	topics      topics
	log         *slog.Logger
	calls       atomic.Int64 // traced calls
	outstanding atomic.Int64 // prefetches not released
	closed      atomic.Bool
	peeks       chan struct{} // one for each Peek that asks the tiers
}

type topics struct {
	call                   eventbus.Topic[Call]
	callDone               eventbus.Topic[CallDone]
	allocationFailed       eventbus.Topic[AllocationFailed]
	readFailed             eventbus.Topic[ReadFailed]
	readPrefetched         eventbus.Topic[ReadPrefetched]
	readPrefetchedFinished eventbus.Topic[ReadPrefetchedFinished]
	writeReserved          eventbus.Topic[WriteReserved]
	writeFinished          eventbus.Topic[WriteFinished]
	prefetchResolved       eventbus.Topic[PrefetchResolved]
}

// Open builds a manager. It reports all problems of the options at once and
// leaves nothing behind when it fails, except for calls of an adapter that do not
// return: then the error wraps [ErrTierBusy]. The end of ctx stops it while it makes
// L1's memory ready and while it tries the tiers.
func Open(ctx context.Context, o Options) (*Manager, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	m := &Manager{peeks: make(chan struct{}, maxPeeks)}
	if o.Runtime == nil {
		m.live = runtime.NewLive()
		o.Runtime = m.live
	}
	o = o.withDefaults()
	m.o, m.rt, m.log = o, o.Runtime, o.Logger
	o.L1.Lapsed = m.lapsed
	mem, err := l1.Open(ctx, o.L1)
	if err != nil {
		if m.live != nil {
			m.live.Close()
		}
		return nil, err
	}
	m.l1 = mem
	m.topics = topics{
		call:                   eventbus.TopicOf[Call](o.Bus),
		callDone:               eventbus.TopicOf[CallDone](o.Bus),
		allocationFailed:       eventbus.TopicOf[AllocationFailed](o.Bus),
		readFailed:             eventbus.TopicOf[ReadFailed](o.Bus),
		readPrefetched:         eventbus.TopicOf[ReadPrefetched](o.Bus),
		readPrefetchedFinished: eventbus.TopicOf[ReadPrefetchedFinished](o.Bus),
		writeReserved:          eventbus.TopicOf[WriteReserved](o.Bus),
		writeFinished:          eventbus.TopicOf[WriteFinished](o.Bus),
		prefetchResolved:       eventbus.TopicOf[PrefetchResolved](o.Bus),
	}
	if len(o.Tiers) > 0 {
		if err := m.openTiers(ctx); err != nil {
			return nil, m.stop(err)
		}
	}
	return m, nil
}

// physical is what an object of so many bytes takes in L1.
func (m *Manager) physical(bytes int64) int64 {
	align := int64(m.o.L1.Align)
	return (bytes + align - 1) / align * align
}

// Pin has the memory of L1 pinned by a device, piece by piece, what is there and
// what comes; see l1.Manager.Pin. The memory is not unmapped before the Pinning is
// closed.
func (m *Manager) Pin(device string, pin func(piece []byte) (unpin func() error, err error)) (*l1.Pinning, error) {
	p, err := m.l1.Pin(device, pin)
	if errors.Is(err, l1.ErrClosed) {
		return nil, ErrClosed
	}
	return p, err
}

// Memory describes the memory of L1.
func (m *Manager) Memory() l1.Memory { return m.l1.Memory() }

// Now is the manager's time.
func (m *Manager) Now() time.Time { return m.rt.Now() }

// check validates the arguments of a call; all problems at once.
func (m *Manager) check(op string, keys []kv.Key, layout kv.Layout) error {
	if m.closed.Load() {
		return ErrClosed
	}
	var errs []error
	if len(keys) == 0 {
		errs = append(errs, fmt.Errorf("storage: %s: keys: none given", op))
	}
	if layout.IsZero() {
		errs = append(errs, fmt.Errorf("storage: %s: layout: not set", op))
	}
	for i := range keys {
		if i > 0 && keys[i].Model == keys[i-1].Model && keys[i].Salt == keys[i-1].Salt && keys[i].Hash.Len() > 0 {
			continue // the texts have been looked at
		}
		if err := keys[i].Validate(); err != nil {
			errs = append(errs, fmt.Errorf("storage: %s: keys[%d]: %w", op, i, err))
		}
	}
	return errors.Join(errs...)
}

// Touch refreshes the recency of keys that are resident in L1.
func (m *Manager) Touch(keys []kv.Key) {
	if m.closed.Load() || len(keys) == 0 {
		return
	}
	at := m.rt.Now()
	keys = slices.Clone(keys)
	if m.tracing() {
		n := m.call(at, Call{Name: CallTouch, Keys: keys, Owner: NoCall})
		defer m.done(CallDone{Name: CallTouch, N: n}, at)
	}
	m.l1.Touch(at, keys)
}

// Clear removes all objects from L1 that nobody uses and returns how many; forced,
// it removes all, and those in use are freed when their users let go.
func (m *Manager) Clear(force bool) int {
	if m.closed.Load() {
		return 0
	}
	at := m.rt.Now()
	if m.tracing() {
		n := m.call(at, Call{Name: CallClear, Force: force, Owner: NoCall})
		defer m.done(CallDone{Name: CallClear, N: n}, at)
	}
	return m.l1.Clear(at, force)
}

// Delete removes keys from L1 and returns a code per key: Success, KeyNotExist,
// or KeyIsLocked for what is in use, unless it is forced. A closed manager has
// no keys.
func (m *Manager) Delete(keys []kv.Key, force bool) []l1.Code {
	at := m.rt.Now()
	keys = slices.Clone(keys)
	if m.tracing() && !m.closed.Load() {
		n := m.call(at, Call{Name: CallDelete, Keys: keys, Force: force, Owner: NoCall})
		defer m.done(CallDone{Name: CallDelete, N: n}, at)
	}
	return m.l1.Delete(at, keys, force)
}

// Flush returns when every object committed before the call is in each of its
// tiers, or was refused by it or given up. In virtual time it steps the queue.
func (m *Manager) Flush(ctx context.Context) error {
	if m.stores == nil {
		return ctx.Err()
	}
	return m.stores.flush(ctx)
}

// LoopStats is a background loop at one moment; see l1.LoopStats.
type LoopStats = l1.LoopStats

// Stats is the state of a Manager at one moment.
type Stats struct {
	L1         l1.Stats
	Tiers      []TierStats // in order of preference; nil: there are none
	Stores     StoreStats  // to outer tiers
	Fetches    PrefetchStats
	Loops      []LoopStats // in the background, those of L1 included
	Prefetches int64       // handles not released
	Closed     bool
}

// Stats returns the current state in bounded time.
func (m *Manager) Stats() Stats {
	mem := m.l1.Stats()
	return Stats{
		L1: mem, Tiers: m.tierStats(), Stores: m.storeStats(), Fetches: m.prefetchStats(),
		Loops: mem.Loops, Prefetches: m.outstanding.Load(), Closed: m.closed.Load(),
	}
}

// Check verifies the invariants of L1 and the tiers; for tests and diagnosis.
func (m *Manager) Check() error {
	err := m.l1.Check()
	for _, t := range m.tiers {
		err = errors.Join(err, t.Check())
	}
	return err
}

// Close refuses new calls and frees the memory; leases keep working until they
// are released, and then an error says who still holds memory. It waits for calls of
// adapters as long as ctx allows: then the error wraps ErrTierBusy and names the tiers
// and what their calls hold. Without a deadline it waits for them for ever. It is
// idempotent.
func (m *Manager) Close(ctx context.Context) error {
	if m.closed.Swap(true) {
		return nil
	}
	var err error
	if m.stores != nil {
		m.fetches.close()
		m.stores.close(ctx, m.o.DrainTimeout)
		err = m.closeTiers(ctx)
		m.stores.endDrops()
	}
	return m.stop(err)
}

// stop closes what is behind the tiers, whose end has come with err, and adds to it.
func (m *Manager) stop(err error) error {
	stuck := errors.Is(err, ErrTierBusy)
	err = errors.Join(err, m.l1.Close())
	if m.live != nil && !stuck { // else it would wait for the calls
		m.live.Close()
	}
	return err
}
