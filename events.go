package lmcache

import (
	"time"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// The request events. All carry the session id, except BlocksAllocated and
// SessionEnding. Start and end of device work are published by the worker's
// completion goroutine with device times, everything else where it happens.

// RequestStarted is the first thing a lookup publishes.
type RequestStarted struct {
	SessionID   string
	TraceParent string // W3C trace context of the request; may be empty
}

// EventName is the wire name.
func (RequestStarted) EventName() string { return "mp.request.start" }

// EventReserved puts the event into the reserved admission class.
func (RequestStarted) EventReserved() bool { return true }

// LookupStarted opens a lookup.
type LookupStarted struct{ SessionID string }

// EventName is the wire name.
func (LookupStarted) EventName() string { return "mp.lookup_prefetch.start" }

// EventReserved puts the event into the reserved admission class.
func (LookupStarted) EventReserved() bool { return true }

// Lookup carries the chunk hashes of a lookup; it is built only if somebody listens.
type Lookup struct {
	SessionID   string
	RequestID   string
	ChunkHashes []kv.Hash
	Model       string
	ChunkSize   int
	SeqLen      int // tokens of the prompt
	Layouts     []kv.Layout
}

// EventName is the wire name.
func (Lookup) EventName() string { return "mp.lookup" }

// EventKeys is the number of hashes carried.
func (e Lookup) EventKeys() int { return len(e.ChunkHashes) }

// LookupEnded is published when a lookup's result is delivered for the first time.
type LookupEnded struct {
	SessionID       string
	FoundCount      int // chunks of the contiguous prefix
	RequestedTokens int // full chunks x chunk size
	HitTokens       int // FoundCount x chunk size
	L1HitTokens     int
	L2HitTokens     int
	Model           string
	Salt            string
	EarlyExitReason string             // "no_gpu_context", "empty_chunk_hashes" or empty
	Misses          storage.MissCounts // in chunks
	SubmittedAt     time.Time          // when the lookup was submitted
	ResolvedAt      time.Time          // when the result was known
}

// EventName is the wire name.
func (LookupEnded) EventName() string { return "mp.lookup_prefetch.end" }

// EventReserved puts the event into the reserved admission class.
func (LookupEnded) EventReserved() bool { return true }

// LookupAbandoned says that a lookup's result was dropped undelivered.
type LookupAbandoned struct {
	SessionID string
	Reason    string // "expired", "session_end" or "replaced"
}

// EventName is the wire name.
func (LookupAbandoned) EventName() string { return "mp.lookup_prefetch.abandoned" }

// EventReserved puts the event into the reserved admission class.
func (LookupAbandoned) EventReserved() bool { return true }

// StoreSubmitted says that a store is about to be queued on the device.
type StoreSubmitted struct {
	SessionID string
	Device    string
	OpID      string
}

// EventName is the wire name.
func (StoreSubmitted) EventName() string { return "mp.store.submitted" }

// EventReserved puts the event into the reserved admission class.
func (StoreSubmitted) EventReserved() bool { return true }

// StoreStarted says that the stream reached the copy.
type StoreStarted struct {
	SessionID string
	Device    string
	EngineID  string
	Model     string
	OpID      string
}

// EventName is the wire name.
func (StoreStarted) EventName() string { return "mp.store.start" }

// EventReserved puts the event into the reserved admission class.
func (StoreStarted) EventReserved() bool { return true }

// StoreEnded says that the stream passed the copies; exactly one per StoreSubmitted.
type StoreEnded struct {
	SessionID   string
	Device      string
	EngineID    string
	Model       string
	OpID        string
	StoredCount int   // chunks that became readable
	TotalBytes  int64 // logical bytes of them
	NumTokens   int
	Success     bool
	SubmittedAt time.Time
}

// EventName is the wire name.
func (StoreEnded) EventName() string { return "mp.store.end" }

// EventReserved puts the event into the reserved admission class.
func (StoreEnded) EventReserved() bool { return true }

// RetrieveSubmitted says that a retrieve is about to be queued on the device.
type RetrieveSubmitted struct {
	SessionID string
	Device    string
	OpID      string
}

// EventName is the wire name.
func (RetrieveSubmitted) EventName() string { return "mp.retrieve.submitted" }

// EventReserved puts the event into the reserved admission class.
func (RetrieveSubmitted) EventReserved() bool { return true }

// RetrieveStarted says that the stream reached the copy.
type RetrieveStarted struct {
	SessionID string
	Device    string
	EngineID  string
	Model     string
	OpID      string
}

// EventName is the wire name.
func (RetrieveStarted) EventName() string { return "mp.retrieve.start" }

// EventReserved puts the event into the reserved admission class.
func (RetrieveStarted) EventReserved() bool { return true }

// RetrieveEnded says that the stream passed the copies; exactly one per RetrieveSubmitted.
type RetrieveEnded struct {
	SessionID      string
	Device         string
	EngineID       string
	Model          string
	Salt           string
	OpID           string
	RetrievedCount int   // chunks delivered
	TotalBytes     int64 // logical bytes of them
	NumTokens      int
	Success        bool
	SubmittedAt    time.Time
}

// EventName is the wire name.
func (RetrieveEnded) EventName() string { return "mp.retrieve.end" }

// EventReserved puts the event into the reserved admission class.
func (RetrieveEnded) EventReserved() bool { return true }

// RequestEnded says that a session was removed.
type RequestEnded struct{ SessionID string }

// EventName is the wire name.
func (RequestEnded) EventName() string { return "mp.request.end" }

// EventReserved puts the event into the reserved admission class.
func (RequestEnded) EventReserved() bool { return true }

// RequestReceipt sums up a finished or abandoned session; published right after RequestEnded.
type RequestReceipt struct {
	SessionID       string
	Model           string
	Salt            string
	RequestedTokens int
	HitTokens       int
	L1HitTokens     int
	L2HitTokens     int
	RetrievedChunks int
	StoredChunks    int
	BytesIn         int64         // retrieved into the device
	BytesOut        int64         // stored from the device
	LookupTime      time.Duration // submission of the lookups
	PrefetchWait    time.Duration // submission to known result
	RetrieveTime    time.Duration
	StoreTime       time.Duration
	EarlyExitReason string
	Misses          storage.MissCounts
	Outcome         string // "hit", "partial", "miss", "store_only", "abandoned", "failed"
}

// EventName is the wire name.
func (RequestReceipt) EventName() string { return "mp.request.receipt" }

// BlocksAllocated is what the host's scheduler reported about its paged cache.
type BlocksAllocated struct {
	InstanceID int64
	Model      string
	Records    []BlockAllocation
}

// BlockAllocation is the new blocks and tokens of one request.
type BlockAllocation struct {
	RequestID   string
	NewBlockIDs []gpu.BlockID
	NewTokenIDs []int32
}

// EventName is the wire name.
func (BlocksAllocated) EventName() string { return "mp.vllm.block_allocation" }

// EventKeys is the number of records carried.
func (e BlocksAllocated) EventKeys() int { return len(e.Records) }

// SessionEnding is the first thing the end of a session publishes.
type SessionEnding struct{ RequestID string }

// EventName is the wire name.
func (SessionEnding) EventName() string { return "mp.vllm.end_session" }

// EventReserved puts the event into the reserved admission class.
func (SessionEnding) EventReserved() bool { return true }
