package fault

import (
	"errors"
	"fmt"
	"time"
)

// Options say what fails. Rates are from 0 to 1.
type Options struct {
	Seed uint64

	Rate          float64   // loads that miss
	GapIndices    []int     // positions in a load that miss
	GapTailRatios []float64 // r misses at position (1-r) × (n-1) of n, rounded half to even

	StoreErrorRate    float64       // stores that fail
	LookupErrorRate   float64       // lookups of keys that fail
	CorruptRate       float64       // loads with one bit flipped
	ShortReadRate     float64       // loads that give half of the payload
	HangRate          float64       // stores, loads and lookups that wait until their context ends
	IgnoreContextRate float64       // the same, and a minute longer; then they succeed
	Latency           time.Duration // of every call
}

// Deaf is for how long after the end of its context a call goes on that ignores it.
const Deaf = time.Minute

// Validate reports everything that is wrong with o.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("fault: "+format, args...)) }
	for _, r := range []struct {
		name string
		rate float64
	}{
		{"Rate", o.Rate},
		{"StoreErrorRate", o.StoreErrorRate},
		{"LookupErrorRate", o.LookupErrorRate},
		{"CorruptRate", o.CorruptRate},
		{"ShortReadRate", o.ShortReadRate},
		{"HangRate", o.HangRate},
		{"IgnoreContextRate", o.IgnoreContextRate},
	} {
		if !(r.rate >= 0 && r.rate <= 1) {
			bad("%s: %v, must be between 0 and 1", r.name, r.rate)
		}
	}
	for _, i := range o.GapIndices {
		if i < 0 {
			bad("GapIndices: %d is negative", i)
		}
	}
	for _, r := range o.GapTailRatios {
		if !(r >= 0 && r <= 1) {
			bad("GapTailRatios: %v, must be between 0 and 1", r)
		}
	}
	if o.Latency < 0 {
		bad("Latency: %v is negative", o.Latency)
	}
	return errors.Join(errs...)
}
