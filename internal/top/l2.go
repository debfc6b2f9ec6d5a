package top

import (
	"cmp"
	"maps"
	"slices"
)

// Tier is an outer tier: all adapters of one type.
type Tier struct {
	Name     string     `json:"l2_name"`
	Adapters []Adapter  `json:"adapters"` // those with work in flight
	Stores   Number     `json:"stores_per_second"`
	Loads    Number     `json:"loads_per_second"`
	StoreGBs Throughput `json:"store_throughput"`
	LoadGBs  Throughput `json:"load_throughput"`
	Used     Number     `json:"used_bytes"`
	Capacity Number     `json:"capacity_bytes"`
}

// Adapter is what one adapter has in flight.
type Adapter struct {
	Index  string `json:"adapter_index"`
	Stores Number `json:"stores_in_flight"`
	Loads  Number `json:"loads_in_flight"`
	Bytes  Number `json:"load_bytes_in_flight"` // of L1, reserved by its loads
}

// Throughput is the speed of sampled transfers in GB (10^9 bytes) per second.
type Throughput struct {
	P50  Number `json:"p50_gbs"`
	Mean Number `json:"mean_gbs"`
	All  bool   `json:"since_start"` // nothing was sampled since the scrape before: it is of all time
}

// throughput is that of what was gained, else of all.
func throughput(d distribution) Throughput {
	h, all := d.gained, false
	if h.count == 0 {
		h, all = d.total, true
	}
	return Throughput{P50: h.quantile(0.5), Mean: h.mean(), All: all}
}

// InFlight is what the server is doing at the moment.
type InFlight struct {
	Prefetches Number   `json:"prefetch_jobs"`
	Expired    Number   `json:"prefetch_jobs_expired_total"`
	Devices    []Device `json:"devices"`
}

// Device are the copies between a device and L1.
type Device struct {
	Name      string     `json:"device"`
	Stores    Number     `json:"stores_in_flight"`
	Retrieves Number     `json:"retrieves_in_flight"`
	StoreGBs  Throughput `json:"store_throughput"`
	LoadGBs   Throughput `json:"load_throughput"`
}

func (f *Frame) tiers(w window) {
	const name = "l2_name"
	stores, loads := w.sumBy("lmcache_mp_l2_store_completed_total", name), w.sumBy("lmcache_mp_l2_load_completed_total", name)
	storeGBs := w.distributionsBy("lmcache_mp_l2_store_throughput_gbs", name)
	loadGBs := w.distributionsBy("lmcache_mp_l2_load_throughput_gbs", name)
	used, capacity := w.sumBy("lmcache_mp_l2_usage_bytes", name), w.sumBy("lmcache_mp_l2_capacity_bytes", name)
	adapters := adaptersOf(w.now)
	names := make(map[string]bool)
	for _, m := range []map[string]change{stores, loads, used, capacity} {
		for n := range m {
			names[n] = true
		}
	}
	for n := range adapters {
		names[n] = true
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		t := Tier{
			Name: clean(n), Adapters: adapters[n], Stores: over(stores[n].gained, w.seconds), Loads: over(loads[n].gained, w.seconds),
			StoreGBs: throughput(storeGBs[n]), LoadGBs: throughput(loadGBs[n]), Used: none, Capacity: none,
		}
		if c, ok := used[n]; ok {
			t.Used = Number(c.total)
		}
		if c, ok := capacity[n]; ok {
			t.Capacity = Number(c.total)
		}
		f.L2 = append(f.L2, t)
	}
	f.inFlight(w)
}

// adaptersOf are the adapters with work in flight, by the name of their tier.
func adaptersOf(now *Scrape) map[string][]Adapter {
	type id struct{ name, index string }
	by := make(map[id]Adapter)
	read := func(metric string, set func(*Adapter, Number)) {
		for _, s := range now.list(metric) {
			k := id{s.labels["l2_name"], s.labels["adapter_index"]}
			a, ok := by[k]
			if !ok {
				a = Adapter{Index: clean(k.index)}
			}
			set(&a, Number(s.value))
			by[k] = a
		}
	}
	read("lmcache_mp_num_inflight_l2_stores", func(a *Adapter, n Number) { a.Stores = n })
	read("lmcache_mp_num_inflight_l2_loads", func(a *Adapter, n Number) { a.Loads = n })
	read("lmcache_mp_inflight_load_memory_usage_bytes", func(a *Adapter, n Number) { a.Bytes = n })
	out := make(map[string][]Adapter)
	for k, a := range by {
		out[k.name] = append(out[k.name], a)
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b Adapter) int {
			return cmp.Or(cmp.Compare(len(a.Index), len(b.Index)), cmp.Compare(a.Index, b.Index)) // numbers, as text
		})
	}
	return out
}

func (f *Frame) inFlight(w window) {
	f.InFlight = InFlight{
		Prefetches: w.now.gauge("lmcache_mp_active_prefetch_jobs"),
		Expired:    w.total("lmcache_mp_prefetch_jobs_expired_total"),
	}
	const device = "device"
	submitted, finished := w.sumBy("lmcache_mp_num_submitted_stores_total", device), w.sumBy("lmcache_mp_num_finished_stores_total", device)
	asked, delivered := w.sumBy("lmcache_mp_num_submitted_retrieves_total", device), w.sumBy("lmcache_mp_num_finished_retrieves_total", device)
	storeGBs := w.distributionsBy("lmcache_mp_l0_l1_store_throughput_gbs", device)
	loadGBs := w.distributionsBy("lmcache_mp_l0_l1_load_throughput_gbs", device)
	names := make(map[string]bool)
	for _, m := range []map[string]change{submitted, asked} {
		for n := range m {
			names[n] = true
		}
	}
	for _, m := range []map[string]distribution{storeGBs, loadGBs} {
		for n := range m {
			names[n] = true
		}
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		d := Device{Name: clean(n), Stores: none, Retrieves: none, StoreGBs: throughput(storeGBs[n]), LoadGBs: throughput(loadGBs[n])}
		if c, ok := submitted[n]; ok {
			d.Stores = max(Number(c.total-finished[n].total), 0)
		}
		if c, ok := asked[n]; ok {
			d.Retrieves = max(Number(c.total-delivered[n].total), 0)
		}
		f.InFlight.Devices = append(f.InFlight.Devices, d)
	}
}
