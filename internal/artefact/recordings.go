package artefact

// Names of recorded values: the labels they keep, the metric, and how it was made.
const (
	recordedHitRate      = "instance:lmcache_mp_lookup_hit_ratio:rate5m"
	recordedModelHitRate = "model_name:lmcache_mp_lookup_hit_ratio:rate1h"
	recordedFireRatio    = "instance:lmcache_mp_l1_eviction_fire_ratio:rate5m"
	recordedLoadSpeed    = "l2_name:lmcache_mp_l2_load_throughput_gbs:mean15m"
)

// recordings are kept because an alert compares them with their own past, or because
// many dashboards ask for them.
func recordings(q promql) []recording {
	return []recording{
		{recordedHitRate, q.ratio("instance", "lookup_hit_tokens", "lookup_requested_tokens")},
		{recordedModelHitRate, q.over("1h").ratio("model_name", "lookup_hit_tokens", "lookup_requested_tokens")},
		{recordedFireRatio, q.ratio("instance", "l1_eviction_loop_triggered", "l1_eviction_loop_ticks")},
		{recordedLoadSpeed, q.over(slow).mean("l2_name", "l2_load_throughput_gbs")},
	}
}
