package storage

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1"
)

// Options configures a Manager. L1.Bytes is required.
type Options struct {
	L1      l1.Options      // its Bus, Logger and Runtime are those below if not set
	Bus     *eventbus.Bus   // gets the events of this package; nil: nobody does
	Logger  *slog.Logger    // nil: no logs
	Runtime runtime.Runtime // time and timers; nil: live

	Tiers    []Tier          // outer tiers, in order of preference; at most MaxTiers
	Store    StoreOptions    // what goes to them
	Prefetch PrefetchControl // what comes from them

	// DrainTimeout is how long Close waits for stores that are queued or run (30 s);
	// negative: not at all.
	DrainTimeout time.Duration

	modelled bool // tiers without an adapter are models
}

func (o Options) withDefaults() Options {
	o.L1.Align = cmp.Or(o.L1.Align, l1.DefaultAlign)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o = o.withTierDefaults()
	if o.L1.Bus == nil {
		o.L1.Bus = o.Bus
	}
	if o.L1.Logger == nil {
		o.L1.Logger = o.Logger
	}
	if o.L1.Runtime == nil {
		o.L1.Runtime = o.Runtime
	}
	return o
}

// Validate reports all problems of o at once; nil if there is none.
func (o Options) Validate() error {
	var errs []error
	if err := o.L1.Validate(); err != nil {
		errs = append(errs, err)
	}
	if o.L1.Runtime != nil && o.Runtime != o.L1.Runtime {
		errs = append(errs, errors.New("storage: L1.Runtime: must be Runtime or nil"))
	}
	errs = append(errs, o.validateTiers())
	return errors.Join(errs...)
}

// Mode says which keys a reservation may write.
type Mode = l1.WriteMode

// Write modes.
const (
	New    = l1.WriteNew
	Update = l1.WriteUpdate
	All    = l1.WriteAll
)

// Select names positions of a request; see l1.Select.
type Select = l1.Select

// WriteOptions are the optional parts of ReserveWrite.
type WriteOptions struct {
	Owner string // for events and logs; the engine names the session
	After Key    // predecessor of the first key in the prompt; zero: unknown

	// Wait is how long to wait for memory before a key is reported OutOfMemory, on
	// the caller's goroutine, and never beyond the context; less than L1.WriteTTL. 0:
	// not at all. In virtual time a wait steps the queue; in a callback it panics.
	Wait time.Duration
}

// Policy says which of the found keys a prefetch keeps.
type Policy uint8

// Prefetch policies.
const (
	Prefix Policy = iota // the longest run of found keys from the first one
	Sparse               // every found key
)

// String is the policy's name in traces.
func (p Policy) String() string {
	switch p {
	case Prefix:
		return "PREFIX"
	case Sparse:
		return "SPARSE"
	default:
		return fmt.Sprintf("POLICY_%d", uint8(p))
	}
}

// PrefetchOptions are the optional parts of SubmitPrefetch.
type PrefetchOptions struct {
	Owner     string        // for events and logs
	RequestID string        // the caller's id, for correlation
	Readers   int           // holders per object; 0 means 1, at most l1.MaxReaders
	Policy    Policy        // Prefix
	SkipL2    bool          // look in L1 only
	Warm      bool          // refresh what is found instead of leasing it
	Deadline  time.Duration // for loads from outer tiers; 0: the manager's
}
