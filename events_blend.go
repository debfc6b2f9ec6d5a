package lmcache

// The events of CacheBlend, for whoever publishes them: this package does not blend.
// All carry the session id. Start and end of device work have device times.

// BlendRequestStarted opens a blended request.
type BlendRequestStarted struct{ SessionID string }

// EventName is the wire name.
func (BlendRequestStarted) EventName() string { return "cb.request.start" }

// EventReserved puts the event into the reserved admission class.
func (BlendRequestStarted) EventReserved() bool { return true }

// BlendRequestEnded closes it: after the final store, or when the lookup returns early.
type BlendRequestEnded struct{ SessionID string }

// EventName is the wire name.
func (BlendRequestEnded) EventName() string { return "cb.request.end" }

// EventReserved puts the event into the reserved admission class.
func (BlendRequestEnded) EventReserved() bool { return true }

// BlendLookupStarted opens a lookup of fingerprints.
type BlendLookupStarted struct {
	SessionID string
	NumTokens int
}

// EventName is the wire name.
func (BlendLookupStarted) EventName() string { return "cb.lookup.start" }

// EventReserved puts the event into the reserved admission class.
func (BlendLookupStarted) EventReserved() bool { return true }

// BlendLookupEnded closes a lookup of fingerprints.
type BlendLookupEnded struct {
	SessionID       string
	NumTokens       int
	RequestedTokens int
	HitTokens       int // StorageHits x chunk size
	FingerprintHits int // chunks
	StorageHits     int // chunks of them that storage has
	StaleChunks     int
	NoGPUContext    bool
}

// EventName is the wire name.
func (BlendLookupEnded) EventName() string { return "cb.lookup.end" }

// EventReserved puts the event into the reserved admission class.
func (BlendLookupEnded) EventReserved() bool { return true }

// BlendRetrieveSubmitted says that a retrieve is about to be queued on the device.
type BlendRetrieveSubmitted struct {
	SessionID  string
	InstanceID int64
}

// EventName is the wire name.
func (BlendRetrieveSubmitted) EventName() string { return "cb.retrieve.submitted" }

// EventReserved puts the event into the reserved admission class.
func (BlendRetrieveSubmitted) EventReserved() bool { return true }

// BlendRetrieveStarted says that the stream reached a retrieve.
type BlendRetrieveStarted struct {
	SessionID  string
	InstanceID int64
	NumChunks  int
}

// EventName is the wire name.
func (BlendRetrieveStarted) EventName() string { return "cb.retrieve.start" }

// EventReserved puts the event into the reserved admission class.
func (BlendRetrieveStarted) EventReserved() bool { return true }

// BlendRetrieveEnded says that the stream passed a retrieve.
type BlendRetrieveEnded struct {
	SessionID  string
	InstanceID int64
	NumChunks  int
	Success    bool
}

// EventName is the wire name.
func (BlendRetrieveEnded) EventName() string { return "cb.retrieve.end" }

// EventReserved puts the event into the reserved admission class.
func (BlendRetrieveEnded) EventReserved() bool { return true }

// BlendStorePreComputedSubmitted says that a store of chunks computed before is about to be queued on the device.
type BlendStorePreComputedSubmitted struct {
	SessionID  string
	InstanceID int64
}

// EventName is the wire name.
func (BlendStorePreComputedSubmitted) EventName() string { return "cb.store_pre_computed.submitted" }

// EventReserved puts the event into the reserved admission class.
func (BlendStorePreComputedSubmitted) EventReserved() bool { return true }

// BlendStorePreComputedStarted says that the stream reached a store of chunks computed before.
type BlendStorePreComputedStarted struct {
	SessionID  string
	InstanceID int64
	NumTokens  int
}

// EventName is the wire name.
func (BlendStorePreComputedStarted) EventName() string { return "cb.store_pre_computed.start" }

// EventReserved puts the event into the reserved admission class.
func (BlendStorePreComputedStarted) EventReserved() bool { return true }

// BlendStorePreComputedEnded says that the stream passed a store of chunks computed before.
type BlendStorePreComputedEnded struct {
	SessionID    string
	InstanceID   int64
	NumTokens    int
	StoredChunks int
	Success      bool
}

// EventName is the wire name.
func (BlendStorePreComputedEnded) EventName() string { return "cb.store_pre_computed.end" }

// EventReserved puts the event into the reserved admission class.
func (BlendStorePreComputedEnded) EventReserved() bool { return true }

// BlendStoreFinalSubmitted says that the final store is about to be queued on the device.
type BlendStoreFinalSubmitted struct {
	SessionID  string
	InstanceID int64
}

// EventName is the wire name.
func (BlendStoreFinalSubmitted) EventName() string { return "cb.store_final.submitted" }

// EventReserved puts the event into the reserved admission class.
func (BlendStoreFinalSubmitted) EventReserved() bool { return true }

// BlendStoreFinalStarted says that the stream reached the final store.
type BlendStoreFinalStarted struct {
	SessionID  string
	InstanceID int64
	NumTokens  int
}

// EventName is the wire name.
func (BlendStoreFinalStarted) EventName() string { return "cb.store_final.start" }

// EventReserved puts the event into the reserved admission class.
func (BlendStoreFinalStarted) EventReserved() bool { return true }

// BlendStoreFinalEnded says that the stream passed the final store.
type BlendStoreFinalEnded struct {
	SessionID    string
	InstanceID   int64
	NumTokens    int
	StoredChunks int
	Success      bool
}

// EventName is the wire name.
func (BlendStoreFinalEnded) EventName() string { return "cb.store_final.end" }

// EventReserved puts the event into the reserved admission class.
func (BlendStoreFinalEnded) EventReserved() bool { return true }

// BlendFingerprintsRegistered says that chunks can be found by their fingerprints.
type BlendFingerprintsRegistered struct {
	SessionID string
	NumChunks int
	NumTokens int
}

// EventName is the wire name.
func (BlendFingerprintsRegistered) EventName() string { return "cb.fingerprints.registered" }

// BlendChunksEvicted says that fingerprints of chunks that storage had lost were removed.
type BlendChunksEvicted struct {
	SessionID string
	NumChunks int
}

// EventName is the wire name.
func (BlendChunksEvicted) EventName() string { return "cb.chunks.evicted" }
