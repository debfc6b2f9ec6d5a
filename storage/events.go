package storage

import (
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// The events of this package. Key lists are immutable and shared with the call
// that caused the event: a subscriber may keep but never change them.

// AllocationFailed says that objects got no memory although victims were looked for.
type AllocationFailed struct {
	During string // DuringL1Store or DuringL2Prefetch
	Keys   []kv.Key
}

// Values of AllocationFailed.During and ReadFailed.During.
const (
	DuringL1Store    = "l1_store"
	DuringL2Prefetch = "l2_prefetch"
	DuringL1Retrieve = "l1_retrieve"
	DuringL2Store    = "l2_store"
)

// Values of ReadFailed.Reason.
const (
	ReasonNotFound    = "not_found"
	ReasonWriteLocked = "write_locked"
)

// EventName is the wire name.
func (AllocationFailed) EventName() string { return "l1.allocation.failed" }

// EventReserved puts the event into the reserved admission class.
func (AllocationFailed) EventReserved() bool { return true }

// EventKeys is the number of keys carried.
func (e AllocationFailed) EventKeys() int { return len(e.Keys) }

// ReadFailed says that keys which should have been readable were not.
type ReadFailed struct {
	During string
	Reason string
	Detail string // "staged", "layout_mismatch", "not_leased" or empty
	Keys   []kv.Key
}

// EventName is the wire name.
func (ReadFailed) EventName() string { return "l1.read.failed" }

// EventReserved puts the event into the reserved admission class.
func (ReadFailed) EventReserved() bool { return true }

// EventKeys is the number of keys carried.
func (e ReadFailed) EventKeys() int { return len(e.Keys) }

// ReadPrefetched is published once per submitted prefetch, before any outer tier answers.
type ReadPrefetched struct{ SucceededKeys, FailedKeys []kv.Key }

// EventName is the wire name.
func (ReadPrefetched) EventName() string { return "sm.read.prefetched" }

// EventKeys is the number of keys carried.
func (e ReadPrefetched) EventKeys() int { return len(e.SucceededKeys) + len(e.FailedKeys) }

// ReadPrefetchedFinished is published when holders of prefetched objects are given back.
type ReadPrefetchedFinished struct {
	SucceededKeys, FailedKeys []kv.Key
	Cause                     l1.ReadCause // CauseRead, CauseUnused or CauseAbort
}

// EventName is the wire name.
func (ReadPrefetchedFinished) EventName() string { return "sm.read.prefetched_finished" }

// EventKeys is the number of keys carried.
func (e ReadPrefetchedFinished) EventKeys() int { return len(e.SucceededKeys) + len(e.FailedKeys) }

// WriteReserved is published once per reservation.
type WriteReserved struct{ SucceededKeys, FailedKeys []kv.Key }

// EventName is the wire name.
func (WriteReserved) EventName() string { return "sm.write.reserved" }

// EventKeys is the number of keys carried.
func (e WriteReserved) EventKeys() int { return len(e.SucceededKeys) + len(e.FailedKeys) }

// WriteFinished is published once per finish.
type WriteFinished struct{ SucceededKeys, FailedKeys []kv.Key }

// EventName is the wire name.
func (WriteFinished) EventName() string { return "sm.write.finished" }

// EventKeys is the number of keys carried.
func (e WriteFinished) EventKeys() int { return len(e.SucceededKeys) + len(e.FailedKeys) }

// PrefetchResolved is published exactly once per prefetch.
type PrefetchResolved struct {
	RequestID         int64 // -1 when nothing was asked of an outer tier
	ExternalRequestID string
	Total             int // keys asked for
	L1Hits, L2Hits    int // keys retained, by tier
	Joined            int // keys that another request's load supplied
	PrefixLen         int // leading keys found
	Elapsed           time.Duration
	Misses            MissCounts // why the others were missed
}

// EventName is the wire name.
func (PrefetchResolved) EventName() string { return "sm.prefetch.resolved" }

// EventReserved puts the event into the reserved admission class.
func (PrefetchResolved) EventReserved() bool { return true }
