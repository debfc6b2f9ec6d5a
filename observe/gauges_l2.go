package observe

import (
	"strconv"

	"github.com/lmcache-go/lmcache/storage"
)

// tierGauges are those of outer tiers. A tier without work has no point of what is
// in flight.
func tierGauges() []gauge {
	busy := func(name string, read func(*storage.TierStats) float64) gauge {
		return gauge{name, func(sn *snapshot, to emit) {
			tiers := sn.Storage().Tiers
			for i := range tiers {
				if v := read(&tiers[i]); v != 0 {
					to(v, tiers[i].Name, strconv.Itoa(tiers[i].Index))
				}
			}
		}}
	}
	return []gauge{
		busy(nameL2Stores, func(t *storage.TierStats) float64 { return float64(t.InflightStores) }),
		busy(nameL2Loads, func(t *storage.TierStats) float64 { return float64(t.InflightLoads) }),
		busy(nameL2LoadBytes, func(t *storage.TierStats) float64 { return float64(t.InflightLoadBytes) }),
		{nameL2BreakerState, func(sn *snapshot, to emit) {
			tiers := sn.Storage().Tiers
			for i := range tiers {
				t := &tiers[i]
				for _, state := range breakerStates() {
					is := 0.0
					if t.Breaker == state {
						is = 1
					}
					to(is, t.Name, strconv.Itoa(t.Index), string(state))
				}
			}
		}},
		{nameL2Usage, func(sn *snapshot, to emit) {
			for _, s := range sums(sn.Storage().Tiers) {
				to(float64(s.used), s.name)
			}
		}},
		{nameL2Capacity, func(sn *snapshot, to emit) {
			for _, s := range sums(sn.Storage().Tiers) {
				to(float64(s.capacity), s.name)
			}
		}},
		{nameL2ReadWrite, func(sn *snapshot, to emit) {
			var read, written int64
			tiers := sn.Storage().Tiers
			for i := range tiers {
				read, written = read+tiers[i].ReadBytes, written+tiers[i].WrittenBytes
			}
			switch {
			case len(tiers) == 0:
			case written == 0:
				to(0)
			default:
				to(float64(read) / float64(written))
			}
		}},
	}
}

// sum is what the tiers of one name hold and can hold together.
type sum struct {
	name           string
	used, capacity int64
}

// sums adds tiers up by name, in order of the first ones. A capacity that is not
// known makes the sum unknown.
func sums(tiers []storage.TierStats) []sum {
	var all []sum
	at := make(map[string]int)
	for i := range tiers {
		t := &tiers[i]
		j, ok := at[t.Name]
		if !ok {
			at[t.Name] = len(all)
			all = append(all, sum{t.Name, t.UsedBytes, t.CapacityBytes})
			continue
		}
		s := &all[j]
		s.used += t.UsedBytes
		if s.capacity == 0 || t.CapacityBytes == 0 {
			s.capacity = 0
		} else {
			s.capacity += t.CapacityBytes
		}
	}
	return all
}
