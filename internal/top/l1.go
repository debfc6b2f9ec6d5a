package top

// L1 is the first tier.
type L1 struct {
	Used      Number `json:"used_bytes"`
	Capacity  Number `json:"capacity_bytes"`
	Ratio     Number `json:"usage_ratio"`
	Watermark Number `json:"eviction_watermark"` // 1 without background eviction
	Pinned    Number `json:"pinned_ratio"`

	Writing Number `json:"objects_writing"`
	Ready   Number `json:"objects_ready"`
	Reading Number `json:"objects_reading"`

	Written      Number `json:"written_keys_per_second"`
	Read         Number `json:"read_keys_per_second"`
	Evicted      Number `json:"evicted_keys_per_second"`
	EvictedTotal Number `json:"evicted_keys_total"`
	Removed      Number `json:"removed_keys_per_second"` // for other causes than eviction

	AllocationFailures Number `json:"allocation_failures_total"` // keys
	ReadFailures       Number `json:"read_failures_total"`       // keys
	ExpiredLeases      Number `json:"expired_leases_total"`
}

func (f *Frame) l1(w window) {
	f.L1 = L1{
		Used:      w.now.gauge("lmcache_mp_l1_memory_usage_bytes"),
		Capacity:  w.now.gauge("lmcache_mp_l1_capacity_bytes"),
		Ratio:     w.now.gauge("lmcache_mp_l1_usage_ratio"),
		Watermark: w.now.gauge("lmcache_mp_l1_eviction_watermark"),
		Pinned:    w.now.gauge("lmcache_mp_l1_pinned_ratio"),
		Writing:   none, Ready: none, Reading: none, Removed: none,

		Written:      w.rate("lmcache_mp_l1_write_keys_total"),
		Read:         w.rate("lmcache_mp_l1_read_keys_total"),
		Evicted:      w.rate("lmcache_mp_l1_evicted_keys_total"),
		EvictedTotal: w.total("lmcache_mp_l1_evicted_keys_total"),

		AllocationFailures: w.total("lmcache_mp_l1_allocation_failure_total"),
		ReadFailures:       w.total("lmcache_mp_l1_read_failure_total"),
		ExpiredLeases:      w.total("lmcache_mp_lease_expired_total"),
	}
	for _, s := range w.now.list("lmcache_mp_l1_objects") {
		switch s.labels["state"] {
		case "writing":
			f.L1.Writing = Number(s.value)
		case "ready":
			f.L1.Ready = Number(s.value)
		case "reading":
			f.L1.Reading = Number(s.value)
		}
	}
	if by := w.sumBy("lmcache_mp_l1_removed_keys_total", "cause"); len(by) > 0 {
		var others float64
		for cause, c := range by {
			if cause != "evict" {
				others += c.gained
			}
		}
		f.L1.Removed = over(others, w.seconds)
	}
}

// Objects is the number of objects in L1.
func (l L1) Objects() Number { return l.Writing + l.Ready + l.Reading }
