package l1

// ReadCause says why holders of an object were given back.
type ReadCause string

// Causes of ReadFinished.
const (
	CauseRead   ReadCause = "read"   // a reader used the bytes
	CauseUnused ReadCause = "unused" // a lookup hit that was never read
	CauseTrim   ReadCause = "trim"   // outside the retained set of a lookup
	CauseStore  ReadCause = "store"  // a store to an outer tier is done
	CauseAbort  ReadCause = "abort"  // the reader failed
)

// Origin says where the bytes of a committed object came from.
type Origin string

// Origins of WriteFinished.
const (
	OriginNew      Origin = "new"      // written by the host
	OriginRestored Origin = "restored" // loaded from an outer tier
)

// RemoveCause says why a resident object was removed.
type RemoveCause string

// Causes of KeysEvicted. Only CauseEvict is an eviction.
const (
	CauseEvict           RemoveCause = "evict"            // memory was needed
	CausePolicyDelete    RemoveCause = "policy_delete"    // the store policy dropped it
	CauseTempRelease     RemoveCause = "temp_release"     // last holder of a temporary gone
	CausePrefetchCleanup RemoveCause = "prefetch_cleanup" // temporary outside the final trim
	CauseDelete          RemoveCause = "delete"           // explicit delete
	CauseClear           RemoveCause = "clear"            // clear
)

// AbortCause says why staged memory was discarded.
type AbortCause string

// Causes of WriteAborted.
const (
	AbortOwner      AbortCause = "abort"       // by its owner
	AbortExpired    AbortCause = "expired"     // its lease expired
	AbortLoadFailed AbortCause = "load_failed" // the load that should fill it failed
	AbortTrimmed    AbortCause = "trimmed"     // outside the load plan
	AbortShutdown   AbortCause = "shutdown"    // close
	AbortClear      AbortCause = "clear"       // forced clear
)

// LeaseKind tells read leases from write leases.
type LeaseKind string

// Kinds of LeaseExpired.
const (
	LeaseRead  LeaseKind = "read"
	LeaseWrite LeaseKind = "write"
)

// Mode says when victims are chosen.
type Mode string

// Eviction modes.
const (
	ModeExact     Mode = "exact"     // only when a reservation needs bytes
	ModeWatermark Mode = "watermark" // also in the background
)
