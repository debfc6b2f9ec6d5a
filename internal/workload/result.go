package workload

// Result is what a run did. Its JSON has the keys of "lmcache bench workload
// --json", in order. Counts of chunks are of full chunks.
type Result struct {
	Workload        string `json:"workload"`
	Requests        int64  `json:"requests"` // that were run
	RequestedTokens int64  `json:"requested_tokens"`
	RequestedChunks int64  `json:"requested_chunks"`

	HitChunks       int64    `json:"hit_chunks"` // contiguous prefixes that were retrieved
	L1HitChunks     int64    `json:"l1_hit_chunks"`
	L2HitChunks     int64    `json:"l2_hit_chunks"`
	HitRatio        float64  `json:"hit_ratio"`         // hit per requested chunk
	OptimalHitRatio *float64 `json:"optimal_hit_ratio"` // of L1's capacity, over the same requests; nil: not computed

	StoredChunks  int64 `json:"stored_chunks"`
	EvictedChunks int64 `json:"evicted_chunks"`
	DroppedChunks int64 `json:"dropped_chunks"` // for lack of memory
	L2LostChunks  int64 `json:"l2_lost_chunks"` // evicted from L1 before every tier had them

	RetrievedBytes int64 `json:"retrieved_bytes"`
	StoredBytes    int64 `json:"stored_bytes"`
	L2ReadBytes    int64 `json:"l2_read_bytes"`
	L2WrittenBytes int64 `json:"l2_written_bytes"`

	VerifyFailures int64 `json:"verify_failures"` // chunks with wrong bytes
	Errors         int64 `json:"errors"`          // operations that failed

	MissReasons map[string]int64 `json:"miss_reasons"` // chunks, by the name of the reason

	LookupMS   Latency `json:"lookup_ms"`
	RetrieveMS Latency `json:"retrieve_ms"` // of requests that found something
	StoreMS    Latency `json:"store_ms"`    // of requests that had something to store

	CapacityChunks int64  `json:"capacity_chunks"`
	ChunkBytes     int64  `json:"chunk_bytes"` // logical
	Concurrency    int    `json:"concurrency"`
	Policy         string `json:"policy"`
	Seed           uint64 `json:"seed"`

	EventsDropped     uint64  `json:"events_dropped"` // if any, miss reasons and dropped chunks may be too low
	WallSeconds       float64 `json:"wall_seconds"`
	RequestsPerSecond float64 `json:"requests_per_second"`
	Interrupted       bool    `json:"interrupted"` // the context ended before all requests were run
}

// OK reports whether the run asked for something, got no wrong byte, and no
// operation failed.
func (r *Result) OK() bool {
	return r.VerifyFailures == 0 && r.Errors == 0 && r.RequestedChunks > 0
}
