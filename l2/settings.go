package l2

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Settings are what the configuration of every store has in common. The storage
// manager acts on them; the adapter never sees them. The zero value is the default of
// all but the type.
type Settings struct {
	// Type is the type of adapter as it was written. Events and metrics call the tier
	// by it.
	Type string

	Workers      int   // load and store calls at a time; 0: 8
	PerOpWorkers int   // most items of one call; 0: as many as Workers
	Capacity     int64 // stored bytes at most; 0: no limit but that of the store

	Eviction *Eviction // nil: exact LRU if there is a capacity, when a store needs room

	Serde        Serde // nil: objects are stored as they are
	SerdeWorkers int   // conversions at a time; 0: 1

	Timeouts Timeouts
	Breaker  Breaker
	Retry    Retry

	// NoStartProbe leaves out the test object that is written, read and deleted at
	// the start.
	NoStartProbe bool
}

// Eviction is background eviction of a tier, besides the capacity, which is a bound
// in any case. Every field has to be set.
type Eviction struct {
	Policy    string  // LRU, IsolatedLRU or noop
	Watermark float64 // part of the capacity, or of a tenant's quota, at which it begins; above 0, at most 1
	Ratio     float64 // part of the bytes that one round takes; above 0, at most 1

	// DefaultQuota is the quota, in stored bytes, of tenants without one of their own.
	// IsolatedLRU only; 0 keeps nothing of them.
	DefaultQuota int64
}

// Policies of eviction in a tier.
const (
	PolicyLRU         = "LRU"
	PolicyIsolatedLRU = "IsolatedLRU"
	PolicyNoop        = "noop" // stores are refused when the tier is full
)

// Policies lists the names of Eviction.Policy.
func Policies() []string { return []string{PolicyLRU, PolicyIsolatedLRU, PolicyNoop} }

// Timeouts bound single calls of an adapter. 0 is the default, which stands behind
// each.
type Timeouts struct {
	Store  time.Duration // 30 s
	Load   time.Duration // 30 s
	Delete time.Duration // 30 s
	Lookup time.Duration // 5 s
}

// Breaker says when a tier is given up for a while and asked again.
type Breaker struct {
	Failures    int           // failures in a row that open it; 0: 3
	Cooldown    time.Duration // until the first probe, doubled with each that fails; 0: 5 s
	MaxCooldown time.Duration // longest time until a probe; 0: 300 s
}

// Retry says how often a key that failed for a passing reason is stored again.
type Retry struct {
	Attempts int           // in total; 0: 3
	Backoff  time.Duration // before the second; 0: 100 ms
	Factor   float64       // by which the pause grows with each; 0: 4
}

// Defaults of [Settings].
const (
	DefaultWorkers      = 8
	DefaultSerdeWorkers = 1
	DefaultTimeout      = 30 * time.Second // of stores, loads and deletes
	DefaultLookup       = 5 * time.Second
	DefaultFailures     = 3
	DefaultCooldown     = 5 * time.Second
	DefaultMaxCooldown  = 300 * time.Second
	DefaultAttempts     = 3
	DefaultBackoff      = 100 * time.Millisecond
	DefaultFactor       = 4
	DefaultWatermark    = 0.8 // of an eviction block
	DefaultRatio        = 0.2 // of an eviction block
)

// MaxWorkers is the most calls that one tier may run at a time.
const MaxWorkers = 256

// WithDefaults returns s with every zero field that has a default replaced by it.
func (s Settings) WithDefaults() Settings {
	s.Workers = or(s.Workers, DefaultWorkers)
	s.PerOpWorkers = or(s.PerOpWorkers, s.Workers)
	s.SerdeWorkers = or(s.SerdeWorkers, DefaultSerdeWorkers)
	s.Timeouts.Store = or(s.Timeouts.Store, DefaultTimeout)
	s.Timeouts.Load = or(s.Timeouts.Load, DefaultTimeout)
	s.Timeouts.Delete = or(s.Timeouts.Delete, DefaultTimeout)
	s.Timeouts.Lookup = or(s.Timeouts.Lookup, DefaultLookup)
	s.Breaker.Failures = or(s.Breaker.Failures, DefaultFailures)
	s.Breaker.Cooldown = or(s.Breaker.Cooldown, DefaultCooldown)
	s.Breaker.MaxCooldown = or(s.Breaker.MaxCooldown, max(DefaultMaxCooldown, s.Breaker.Cooldown))
	s.Retry.Attempts = or(s.Retry.Attempts, DefaultAttempts)
	s.Retry.Backoff = or(s.Retry.Backoff, DefaultBackoff)
	s.Retry.Factor = or(s.Retry.Factor, DefaultFactor)
	return s
}

func or[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

// Validate reports everything that is wrong with s, each problem with the name of
// its field. The type may be empty: hosts that bring an adapter name the tier
// elsewhere.
func (s Settings) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("l2: settings: "+format, args...)) }
	if s.Workers < 0 || s.Workers > MaxWorkers {
		bad("Workers: %d, must be 1 to %d", s.Workers, MaxWorkers)
	}
	if s.PerOpWorkers < 0 {
		bad("PerOpWorkers: %d is negative", s.PerOpWorkers)
	}
	if s.Capacity < 0 {
		bad("Capacity: %d bytes is negative", s.Capacity)
	}
	if s.SerdeWorkers < 0 {
		bad("SerdeWorkers: %d is negative", s.SerdeWorkers)
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"Timeouts.Store", s.Timeouts.Store},
		{"Timeouts.Load", s.Timeouts.Load},
		{"Timeouts.Delete", s.Timeouts.Delete},
		{"Timeouts.Lookup", s.Timeouts.Lookup},
		{"Breaker.Cooldown", s.Breaker.Cooldown},
		{"Breaker.MaxCooldown", s.Breaker.MaxCooldown},
		{"Retry.Backoff", s.Retry.Backoff},
	} {
		if d.d < 0 {
			bad("%s: %v is negative", d.name, d.d)
		}
	}
	if s.Breaker.MaxCooldown > 0 && s.Breaker.MaxCooldown < or(s.Breaker.Cooldown, DefaultCooldown) {
		bad("Breaker.MaxCooldown: %v is less than the cooldown %v", s.Breaker.MaxCooldown, or(s.Breaker.Cooldown, DefaultCooldown))
	}
	if s.Breaker.Failures < 0 {
		bad("Breaker.Failures: %d is negative", s.Breaker.Failures)
	}
	if s.Retry.Attempts < 0 {
		bad("Retry.Attempts: %d is negative", s.Retry.Attempts)
	}
	if f := s.Retry.Factor; f != 0 && !(f >= 1) {
		bad("Retry.Factor: %v, must be at least 1", f)
	}
	if s.Serde != nil {
		if err := checkName(s.Serde); err != nil {
			bad("Serde: Name: %w", err)
		}
	}
	if e := s.Eviction; e != nil {
		errs = append(errs, e.Validate())
	}
	return errors.Join(errs...)
}

// Validate reports everything that is wrong with e.
func (e Eviction) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("l2: eviction: "+format, args...)) }
	if !slices.Contains(Policies(), e.Policy) {
		bad("Policy: %q, must be one of %v", e.Policy, Policies())
	}
	if !(e.Watermark > 0 && e.Watermark <= 1) {
		bad("Watermark: %v, must be above 0 and at most 1", e.Watermark)
	}
	if !(e.Ratio > 0 && e.Ratio <= 1) {
		bad("Ratio: %v, must be above 0 and at most 1; %s evicts nothing", e.Ratio, PolicyNoop)
	}
	if e.DefaultQuota < 0 {
		bad("DefaultQuota: %d bytes is negative", e.DefaultQuota)
	}
	if e.DefaultQuota > 0 && e.Policy != PolicyIsolatedLRU {
		bad("DefaultQuota: has no effect with %s, only with %s", e.Policy, PolicyIsolatedLRU)
	}
	return errors.Join(errs...)
}
