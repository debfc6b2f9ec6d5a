package storage

import (
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// The events of outer tiers. AdapterIndex is the position in the list of adapters, L2Name the adapter's
// type. Maps are immutable, like key lists.

// L2StoreSubmitted says that a store task was given to an adapter.
type L2StoreSubmitted struct {
	AdapterIndex    int
	TaskID          int64
	L2Name          string
	KeyCount        int
	TotalBytes      int64
	KeyCountPerSalt map[string]int // nil: not known
}

// EventName is the wire name.
func (L2StoreSubmitted) EventName() string { return "l2.store.submitted" }

// EventReserved puts the event into the reserved admission class.
func (L2StoreSubmitted) EventReserved() bool { return true }

// L2StoreCompleted ends a store task, successful or not.
type L2StoreCompleted struct {
	AdapterIndex     int
	TaskID           int64
	L2Name           string
	SucceededCount   int
	FailedCount      int
	BytesKnown       bool  // BytesTransferred is set
	BytesTransferred int64 // 0: the adapter had every key
	Attempts         int
	StartedAt        time.Time      // when the adapter began; zero: not known
	KeyCountPerSalt  map[string]int // nil: not known
}

// EventName is the wire name.
func (L2StoreCompleted) EventName() string { return "l2.store.completed" }

// EventReserved puts the event into the reserved admission class.
func (L2StoreCompleted) EventReserved() bool { return true }

// Values of L2StoreDropped.Reason.
const (
	DroppedBacklog  = "backlog"   // too many waited, and these were the oldest
	DroppedEvicted  = "evicted"   // L1 had lost them before it was their turn
	DroppedRetries  = "retries"   // their stores failed or timed out, as often as they are tried
	DroppedNoSpace  = "no_space"  // the tier is full, and nothing of it could be evicted
	DroppedTooLarge = "too_large" // the tier never takes an object of this size
	DroppedShutdown = "shutdown"  // the manager was closed before
)

// DropReasons are all values of L2StoreDropped.Reason.
func DropReasons() []string {
	return []string{DroppedBacklog, DroppedEvicted, DroppedRetries, DroppedNoSpace, DroppedTooLarge, DroppedShutdown}
}

// L2StoreDropped says that keys will not be stored in an outer tier.
type L2StoreDropped struct {
	AdapterIndex int
	L2Name       string
	KeyCount     int
	Reason       string // one of the above
}

// EventName is the wire name.
func (L2StoreDropped) EventName() string { return "l2.store.dropped" }

// EventReserved puts the event into the reserved admission class.
func (L2StoreDropped) EventReserved() bool { return true }

// L2LookupSubmitted says that adapters were asked for keys.
type L2LookupSubmitted struct {
	RequestID       int64
	KeyCount        int
	AdapterCount    int
	KeyCountPerSalt map[string]int // nil: not known
}

// EventName is the wire name.
func (L2LookupSubmitted) EventName() string { return "l2.prefetch.lookup.submitted" }

// L2LookupCompleted is the adapters' answer. Keys that L1 had no memory for are no hits.
type L2LookupCompleted struct {
	RequestID      int64
	PrefixHitCount int
}

// EventName is the wire name.
func (L2LookupCompleted) EventName() string { return "l2.prefetch.lookup.completed" }

// L2LoadSubmitted says that a prefetch began to load.
type L2LoadSubmitted struct {
	RequestID    int64
	KeyCount     int // reserved in L1
	AdapterCount int
	JoinedCount  int // keys that another request's load supplies
}

// EventName is the wire name.
func (L2LoadSubmitted) EventName() string { return "l2.prefetch.load.submitted" }

// L2LoadCompleted says that all loads of a prefetch have ended.
type L2LoadCompleted struct {
	RequestID   int64
	LoadedCount int
	FailedCount int
	JoinedCount int
}

// EventName is the wire name.
func (L2LoadCompleted) EventName() string { return "l2.prefetch.load.completed" }

// L2LoadTaskSubmitted says that one adapter was given the loads of a prefetch.
type L2LoadTaskSubmitted struct {
	RequestID    int64
	AdapterIndex int
	TaskID       int64
	L2Name       string
	KeyCount     int
	TotalBytes   int64
}

// EventName is the wire name.
func (L2LoadTaskSubmitted) EventName() string { return "l2.load_task.submitted" }

// EventReserved puts the event into the reserved admission class.
func (L2LoadTaskSubmitted) EventReserved() bool { return true }

// L2LoadTaskCompleted ends what L2LoadTaskSubmitted began.
type L2LoadTaskCompleted struct {
	RequestID        int64
	AdapterIndex     int
	TaskID           int64
	L2Name           string
	Success          bool
	SucceededCount   int
	BytesKnown       bool // BytesTransferred is set
	BytesTransferred int64
	StartedAt        time.Time // when the adapter began; zero: not known
}

// EventName is the wire name.
func (L2LoadTaskCompleted) EventName() string { return "l2.load_task.completed" }

// EventReserved puts the event into the reserved admission class.
func (L2LoadTaskCompleted) EventReserved() bool { return true }

// Values of L2PrefetchFailed.Reason.
const (
	ReasonL1OOM          = "l1_oom"
	ReasonSerdeFailure   = "serde_failure"
	ReasonIOError        = "io_error"
	ReasonCorrupt        = "corrupt"
	ReasonTimeout        = "timeout"
	ReasonLayoutMismatch = "layout_mismatch"
)

// L2PrefetchFailed says that keys found in an outer tier were not loaded.
type L2PrefetchFailed struct {
	Reason string // ReasonNotFound, or one of the above
	Keys   []kv.Key
}

// EventName is the wire name.
func (L2PrefetchFailed) EventName() string { return "l2.prefetch.failed" }

// EventReserved puts the event into the reserved admission class.
func (L2PrefetchFailed) EventReserved() bool { return true }

// EventKeys is the number of keys carried.
func (e L2PrefetchFailed) EventKeys() int { return len(e.Keys) }

// L2KeysEvicted says that an adapter evicted objects.
type L2KeysEvicted struct {
	AdapterIndex    int
	L2Name          string
	KeyCount        int
	KeyCountPerSalt map[string]int
	Bytes           int64
}

// EventName is the wire name.
func (L2KeysEvicted) EventName() string { return "l2.keys.evicted" }

// L2PrefetchDeadline says that a prefetch went on without what its outer tiers have
// not delivered within its budget.
type L2PrefetchDeadline struct {
	RequestID     int64
	Phase         string        // what it was doing: "queued", "lookup" or "load"
	Budget        time.Duration // from its submission
	Elapsed       time.Duration
	RetainedCount int // keys that it has
	MissedCount   int // keys that it went on without
}

// EventName is the wire name.
func (L2PrefetchDeadline) EventName() string { return "l2.prefetch.deadline" }

// EventReserved puts the event into the reserved admission class.
func (L2PrefetchDeadline) EventReserved() bool { return true }
