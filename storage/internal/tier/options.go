package tier

import (
	"errors"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// ErrOpen is the outcome of what a tier was asked for while its breaker is open.
var ErrOpen = errors.New("the circuit breaker of the tier is open")

// ErrBusy says that calls of the adapter have not returned.
var ErrBusy = errors.New("they have not returned")

// Options configures a Tier.
type Options struct {
	Index    int
	Name     string
	Adapter  l2.Adapter  // nil: a model of keys and sizes
	Settings l2.Settings // with defaults
	Runtime  runtime.Runtime
	Logger   *slog.Logger
	PinTTL   time.Duration // after which a forgotten pin ends
	Sink     Sink
}

// Sink hears what becomes of a tier's objects. All methods but Room are called under
// the tier's mutex.
type Sink interface {
	StateChanged(from, to State, reason string, at time.Time)
	Evicted(keys []kv.Key, bytes int64, at time.Time)
	Stored(keys []kv.Key, sizes []int64, at time.Time)
	Deleted(keys []kv.Key, sizes []int64, cause Cause, at time.Time)
	Corrupt(keys []kv.Key, check string, at time.Time)

	// Room says, without the mutex, that a store may begin.
	Room()
}

// Cause says why an object left a tier.
type Cause string

// Causes.
const (
	CauseEvict   Cause = "evict"
	CauseDelete  Cause = "delete"
	CauseCorrupt Cause = "corrupt"
	CauseLayout  Cause = "layout_mismatch"
)

// Limits that no setting changes.
const (
	maxLookups = 64               // calls at a time
	maxDelete  = 256              // keys of one deletion
	drain      = 10 * time.Second // by which a load may outlast the deadline of its job
	grace      = time.Second      // after its deadline a call is given up
	patience   = 30 * time.Second // a call that takes longer is named in the log
	canaryTime = 5 * time.Second  // for the test object at the start
	alignment  = 4096             // of the memory of heads
)
