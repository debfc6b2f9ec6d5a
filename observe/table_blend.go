package observe

// OTel names of the metrics of CacheBlend.
const (
	nameBlendLookupRequests           = "lmcache_blend.lookup_requests"
	nameBlendLookupRequestedTokens    = "lmcache_blend.lookup_requested_tokens"
	nameBlendLookupHitTokens          = "lmcache_blend.lookup_hit_tokens"
	nameBlendLookupFingerprintHits    = "lmcache_blend.lookup_fingerprint_hits"
	nameBlendLookupStorageHits        = "lmcache_blend.lookup_storage_hits"
	nameBlendLookupStaleChunks        = "lmcache_blend.lookup_stale_chunks"
	nameBlendLookupNoGPUContextErrors = "lmcache_blend.lookup_no_gpu_context_errors"
	nameBlendRetrieveRequests         = "lmcache_blend.retrieve_requests"
	nameBlendRetrieveChunks           = "lmcache_blend.retrieve_chunks"
	nameBlendRetrieveFailures         = "lmcache_blend.retrieve_failures"
	nameBlendStorePreComputedRequests = "lmcache_blend.store_pre_computed_requests"
	nameBlendStorePreComputedChunks   = "lmcache_blend.store_pre_computed_chunks"
	nameBlendStorePreComputedFailures = "lmcache_blend.store_pre_computed_failures"
	nameBlendStoreFinalRequests       = "lmcache_blend.store_final_requests"
	nameBlendStoreFinalChunks         = "lmcache_blend.store_final_chunks"
	nameBlendStoreFinalFailures       = "lmcache_blend.store_final_failures"
	nameBlendFingerprintsRegistered   = "lmcache_blend.fingerprints_registered"
	nameBlendChunksEvicted            = "lmcache_blend.chunks_evicted"
)

func blendRows() []Metric {
	counter := func(name, unit, source, value, help string) Metric {
		return Metric{Name: name, Unit: unit, Meter: meterBlend, Source: source, Value: value, Help: help, Unpublished: true}
	}
	return []Metric{
		counter(nameBlendLookupRequests, "", "cb.lookup.start", "1", "Lookups of fingerprints."),
		counter(nameBlendLookupRequestedTokens, unitTokens, "cb.lookup.end", "requested_tokens", "Tokens that lookups of fingerprints asked for."),
		counter(nameBlendLookupHitTokens, unitTokens, "cb.lookup.end", "hit_tokens", "Tokens that lookups of fingerprints found in storage."),
		counter(nameBlendLookupFingerprintHits, "", "cb.lookup.end", "fingerprint_hits", "Chunks found by their fingerprints."),
		counter(nameBlendLookupStorageHits, "", "cb.lookup.end", "storage_hits", "Chunks found by their fingerprints that storage has."),
		counter(nameBlendLookupStaleChunks, "", "cb.lookup.end", "stale_chunks", "Chunks found by their fingerprints that storage has lost."),
		counter(nameBlendLookupNoGPUContextErrors, "", "cb.lookup.end", "1 if no_gpu_context", "Lookups of fingerprints without a registered worker."),
		counter(nameBlendRetrieveRequests, "", "cb.retrieve.start", "1", "Retrieves of blended chunks."),
		counter(nameBlendRetrieveChunks, "", "cb.retrieve.start", "num_chunks", "Blended chunks to retrieve."),
		counter(nameBlendRetrieveFailures, "", "cb.retrieve.end", "1 if not success", "Retrieves of blended chunks that failed."),
		counter(nameBlendStorePreComputedRequests, "", "cb.store_pre_computed.start", "1", "Stores of chunks computed before."),
		counter(nameBlendStorePreComputedChunks, "", "cb.store_pre_computed.end", "stored_chunks", "Chunks computed before that were stored."),
		counter(nameBlendStorePreComputedFailures, "", "cb.store_pre_computed.end", "1 if not success", "Stores of chunks computed before that failed."),
		counter(nameBlendStoreFinalRequests, "", "cb.store_final.start", "1", "Final stores of blended requests."),
		counter(nameBlendStoreFinalChunks, "", "cb.store_final.end", "stored_chunks", "Chunks that final stores stored."),
		counter(nameBlendStoreFinalFailures, "", "cb.store_final.end", "1 if not success", "Final stores that failed."),
		counter(nameBlendFingerprintsRegistered, "", "cb.fingerprints.registered", "num_chunks", "Chunks that can be found by their fingerprints since."),
		counter(nameBlendChunksEvicted, "", "cb.chunks.evicted", "num_chunks", "Chunks whose fingerprints were removed."),
	}
}
