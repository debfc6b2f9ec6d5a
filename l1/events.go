package l1

import (
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// The events of this package. The key lists are immutable and shared with the
// call that caused the event: a subscriber may keep but never change them.

// ReadReserved says that resident objects were leased for reading.
type ReadReserved struct{ Keys []kv.Key }

// EventName is the wire name.
func (ReadReserved) EventName() string { return "l1.read.reserved" }

// EventKeys is the number of keys carried.
func (e ReadReserved) EventKeys() int { return len(e.Keys) }

// ReadFinished says that holders were given back; each key once per call.
type ReadFinished struct {
	Keys  []kv.Key
	Cause ReadCause
}

// EventName is the wire name.
func (ReadFinished) EventName() string { return "l1.read.finished" }

// EventKeys is the number of keys carried.
func (e ReadFinished) EventKeys() int { return len(e.Keys) }

// WriteReserved says that memory was staged for new objects.
type WriteReserved struct{ Keys []kv.Key }

// EventName is the wire name.
func (WriteReserved) EventName() string { return "l1.write.reserved" }

// EventKeys is the number of keys carried.
func (e WriteReserved) EventKeys() int { return len(e.Keys) }

// WriteFinished says that staged objects became readable.
type WriteFinished struct {
	Keys   []kv.Key
	Origin Origin
}

// EventName is the wire name.
func (WriteFinished) EventName() string { return "l1.write.finished" }

// EventKeys is the number of keys carried.
func (e WriteFinished) EventKeys() int { return len(e.Keys) }

// WriteFinishedAndReadReserved says that loaded objects became readable and
// leased in one step.
type WriteFinishedAndReadReserved struct{ Keys []kv.Key }

// EventName is the wire name.
func (WriteFinishedAndReadReserved) EventName() string {
	return "l1.write_finished_and_read_reserved"
}

// EventKeys is the number of keys carried.
func (e WriteFinishedAndReadReserved) EventKeys() int { return len(e.Keys) }

// KeysEvicted says that resident objects were removed. Keys is never empty.
type KeysEvicted struct {
	Keys  []kv.Key
	Bytes int64 // logical bytes of the removed objects
	Cause RemoveCause
	Owner string // of the reservation that needed the memory; empty for background work
}

// EventName is the wire name.
func (KeysEvicted) EventName() string { return "l1.keys.evicted" }

// EventReserved puts the event into the reserved admission class.
func (KeysEvicted) EventReserved() bool { return true }

// EventKeys is the number of keys carried.
func (e KeysEvicted) EventKeys() int { return len(e.Keys) }

// EvictionLoopTick is published once a second while somebody listens.
type EvictionLoopTick struct {
	Usage        float64 // used / capacity before this pass; 0 when capacity is 0
	Watermark    float64 // 1.0 in exact mode
	Triggered    bool    // watermark mode: the policy ran; exact mode: victims were asked for since the last tick
	Mode         Mode
	EvictedKeys  int64 // since the last tick
	EvictedBytes int64 // since the last tick
}

// EventName is the wire name.
func (EvictionLoopTick) EventName() string { return "l1.eviction.loop_tick" }

// KeysAccessed says that the recency of resident objects was refreshed without a lease.
type KeysAccessed struct{ Keys []kv.Key }

// EventName is the wire name.
func (KeysAccessed) EventName() string { return "l1.keys.accessed" }

// EventKeys is the number of keys carried.
func (e KeysAccessed) EventKeys() int { return len(e.Keys) }

// WriteAborted says that staged memory was discarded; its bytes were never readable.
type WriteAborted struct {
	Keys  []kv.Key
	Cause AbortCause
}

// EventName is the wire name.
func (WriteAborted) EventName() string { return "l1.write.aborted" }

// EventKeys is the number of keys carried.
func (e WriteAborted) EventKeys() int { return len(e.Keys) }

// LeaseExpired says that a lease was not given back in time.
type LeaseExpired struct {
	Kind  LeaseKind
	Keys  []kv.Key
	Owner string
	Age   time.Duration
}

// EventName is the wire name.
func (LeaseExpired) EventName() string { return "l1.lease.expired" }

// EventReserved puts the event into the reserved admission class.
func (LeaseExpired) EventReserved() bool { return true }

// EventKeys is the number of keys carried.
func (e LeaseExpired) EventKeys() int { return len(e.Keys) }
