package storage

import "github.com/lmcache-go/lmcache/storage/kv"

// L2KeysStored says that a tier has objects that it was not known to have.
type L2KeysStored struct {
	AdapterIndex int
	L2Name       string
	Keys         []kv.Key
	Sizes        []int64 // stored bytes, by key
}

// EventName is the wire name.
func (L2KeysStored) EventName() string { return "l2.keys.stored" }

// EventKeys is the number of keys carried.
func (e L2KeysStored) EventKeys() int { return len(e.Keys) }

// L2KeysDeleted says that objects left a tier.
type L2KeysDeleted struct {
	AdapterIndex int
	L2Name       string
	Keys         []kv.Key
	Sizes        []int64
	Cause        string // "evict", "delete", "corrupt" or "layout_mismatch"
}

// EventName is the wire name.
func (L2KeysDeleted) EventName() string { return "l2.keys.deleted" }

// EventKeys is the number of keys carried.
func (e L2KeysDeleted) EventKeys() int { return len(e.Keys) }

// L2AdapterState says that the breaker of an adapter has changed its state.
type L2AdapterState struct {
	AdapterIndex int
	L2Name       string
	From, To     BreakerState
	Reason       string
}

// EventName is the wire name.
func (L2AdapterState) EventName() string { return "l2.adapter.state" }

// EventReserved puts the event into the reserved admission class.
func (L2AdapterState) EventReserved() bool { return true }

// L2ObjectCorrupt says that objects of a tier failed verification.
type L2ObjectCorrupt struct {
	AdapterIndex int
	L2Name       string
	Keys         []kv.Key
	Check        string // that failed
}

// EventName is the wire name.
func (L2ObjectCorrupt) EventName() string { return "l2.object.corrupt" }

// EventReserved puts the event into the reserved admission class.
func (L2ObjectCorrupt) EventReserved() bool { return true }

// EventKeys is the number of keys carried.
func (e L2ObjectCorrupt) EventKeys() int { return len(e.Keys) }
