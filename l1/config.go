package l1

// Config is what the decisions of a Manager with these options depend on, by name,
// with the defaults filled in: sizes in bytes, times in seconds. Where the memory
// comes from is not part of it.
func (o Options) Config() map[string]any {
	o = o.withDefaults()
	eviction := map[string]any{"policy": o.Policy, "mode": string(o.Mode)}
	if o.Mode == ModeWatermark {
		eviction["trigger_watermark"] = o.Watermark
		eviction["ratio"] = max(o.EvictionRatio, 0) // NoEvictionRatio is none
	}
	quotas := make(map[string]any, len(o.Quotas))
	for salt, bytes := range o.Quotas {
		quotas[salt] = bytes
	}
	return map[string]any{
		"align_bytes": o.Align, "size_bytes": o.Bytes, "eviction": eviction, "quotas": quotas,
		"read_ttl_seconds": o.ReadTTL.Seconds(), "write_ttl_seconds": o.WriteTTL.Seconds(),
	}
}
