package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/internal/tier"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// ErrTierBusy is wrapped by the error of Close if calls of an adapter have not
// returned when its context ended. What they use stays where it is.
var ErrTierBusy = tier.ErrBusy

// MaxTiers is the most outer tiers of a manager.
const MaxTiers = 64

// Defaults of StoreOptions, PrefetchControl and Options.
const (
	DefaultStoreBacklog    = 65536
	DefaultMaxPrefetches   = 8
	DefaultPrefetchTimeout = 30 * time.Second
	DefaultDrainTimeout    = 30 * time.Second
)

// Tier is a store behind host memory.
type Tier struct {
	Name    string     // in events, metrics and logs; empty: Settings.Type
	Adapter l2.Adapter // the manager closes it. nil, in virtual time only: a model of keys and sizes

	Settings l2.Settings
}

// StoreOptions say what is stored in outer tiers.
type StoreOptions struct {
	Policy      StorePolicy // nil: StoreDefault
	MaxInflight int64       // bytes that running stores lease (1/8 of L1)
	MaxBacklog  int         // objects that wait; the oldest is dropped beyond (65536)
}

// PrefetchControl says what is loaded from outer tiers.
type PrefetchControl struct {
	Policy      PrefetchPolicy // nil: PrefetchDefault
	MaxInflight int            // prefetches that load at a time (8)
	MaxBytes    int64          // that they reserve in L1; one alone may have more (1/4 of L1)
	Timeout     time.Duration  // from submission, unless a request has its own (30 s); negative: none

	// IgnoreL1 is for tests: what is resident in L1 is not used but loaded again.
	IgnoreL1 bool
}

func (o Options) withTierDefaults() Options {
	if o.Store.Policy == nil {
		o.Store.Policy = StoreDefault()
	}
	if o.Store.MaxInflight == 0 {
		o.Store.MaxInflight = o.L1.Bytes / 8
	}
	if o.Store.MaxBacklog == 0 {
		o.Store.MaxBacklog = DefaultStoreBacklog
	}
	if o.Prefetch.Policy == nil {
		o.Prefetch.Policy = PrefetchDefault()
	}
	if o.Prefetch.MaxInflight == 0 {
		o.Prefetch.MaxInflight = DefaultMaxPrefetches
	}
	if o.Prefetch.MaxBytes == 0 {
		o.Prefetch.MaxBytes = o.L1.Bytes / 4
	}
	if o.Prefetch.Timeout == 0 {
		o.Prefetch.Timeout = DefaultPrefetchTimeout
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = DefaultDrainTimeout
	}
	return o
}

func (o Options) validateTiers() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("storage: "+format, args...)) }
	if len(o.Tiers) > MaxTiers {
		bad("Tiers: got %d, the limit is %d", len(o.Tiers), MaxTiers)
	}
	for i := range o.Tiers {
		t := &o.Tiers[i]
		if t.Name == "" && t.Settings.Type == "" {
			bad("Tiers[%d]: Name: not set", i)
		}
		if t.Adapter == nil && !o.modelled {
			bad("Tiers[%d]: Adapter: not set", i)
		}
		if err := t.Settings.Validate(); err != nil {
			bad("Tiers[%d]: %w", i, err)
		}
	}
	if len(o.Tiers) == 0 && o.Store.Policy != nil && o.Store.Policy.Drop(kv.Key{}) {
		bad("Store.Policy: it drops objects from L1 that are stored in a tier, and there is none")
	}
	if o.Store.MaxInflight < 0 {
		bad("Store.MaxInflight: must not be negative, got %d", o.Store.MaxInflight)
	}
	if o.Store.MaxBacklog < 0 {
		bad("Store.MaxBacklog: must not be negative, got %d", o.Store.MaxBacklog)
	}
	if o.Prefetch.MaxInflight < 0 {
		bad("Prefetch.MaxInflight: must not be negative, got %d", o.Prefetch.MaxInflight)
	}
	if o.Prefetch.MaxBytes < 0 {
		bad("Prefetch.MaxBytes: must not be negative, got %d", o.Prefetch.MaxBytes)
	}
	ttl := o.L1.ReadTTL
	if ttl == 0 {
		ttl = l1.DefaultReadTTL
	}
	wait := o.Prefetch.Timeout
	if wait == 0 {
		wait = DefaultPrefetchTimeout
	}
	if len(o.Tiers) > 0 && wait >= ttl {
		bad("Prefetch.Timeout: must be less than L1.ReadTTL, got %v and %v", wait, ttl)
	}
	return errors.Join(errs...)
}

// startPatience is how long a start that has failed waits for calls that run.
const startPatience = 5 * time.Second

// openTiers makes the tiers and asks each for its test object. What was made is
// closed again if one fails.
func (m *Manager) openTiers(ctx context.Context) error {
	for i := range m.o.Tiers {
		d := &m.o.Tiers[i]
		name := d.Name
		if name == "" {
			name = d.Settings.Type
		}
		s := &sink{m: m, index: i, name: name}
		s.open()
		m.tiers = append(m.tiers, tier.New(tier.Options{
			Index: i, Name: name, Adapter: d.Adapter, Settings: d.Settings, Runtime: m.rt, Logger: m.log,
			PinTTL: m.l1.Stats().ReadTTL, Sink: s,
		}))
	}
	m.stores = newStoreControl(m)
	m.fetches = newFetchControl(m)
	for _, salt := range slices.Sorted(maps.Keys(m.o.L1.Quotas)) {
		for _, t := range m.tiers {
			t.SetQuota(salt, m.o.L1.Quotas[salt])
		}
	}
	if err := m.probeTiers(ctx); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startPatience) // calls that ctx has ended need a moment to return
		defer cancel()
		return errors.Join(err, m.closeTiers(ctx))
	}
	for _, t := range m.tiers {
		t.Scan()
	}
	return nil
}

// probeTiers asks each tier for its test object.
func (m *Manager) probeTiers(ctx context.Context) error {
	for _, t := range m.tiers {
		if err := t.Probe(ctx); err != nil {
			return &StartError{Tier: t.Index(), Name: t.Name(), Err: err}
		}
	}
	return nil
}

// closeTiers ends all tiers, whether their calls return or not.
func (m *Manager) closeTiers(ctx context.Context) error {
	var errs []error
	for _, t := range m.tiers {
		t.Stop(true)
	}
	for _, t := range m.tiers {
		t.Leave() // one that is stuck takes no time from the others
	}
	for _, t := range m.tiers {
		errs = append(errs, t.Close(ctx))
	}
	return errors.Join(errs...)
}

// wait returns when done is closed.
func (m *Manager) wait(ctx context.Context, done <-chan struct{}) error {
	for {
		select {
		case <-done:
			return nil
		default:
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		until := m.rt.Now().Add(time.Hour)
		if !m.rt.Wait(ctx, done, until) && ctx.Err() == nil && m.rt.Now().Before(until) {
			return ErrClosed // the runtime has ended
		}
	}
}
