package fault

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Names of the faults of keys, which tell their choices apart.
const (
	missName    = ""
	storeName   = "store_error_rate"
	lookupName  = "lookup_error_rate"
	corruptName = "corrupt_rate"
	shortName   = "short_read_rate"
	hangName    = "hang_rate"
	ignoreName  = "ignore_context_rate"
)

const million = 1_000_000

// chosen tells whether a fault with this rate meets a key.
func (o *Options) chosen(key kv.Key, rate float64, name string) bool {
	limit := uint64(math.Floor(rate * million))
	if limit == 0 {
		return false
	}
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+kv.MaxCanonicalLen+len(ignoreName)), o.Seed)
	b, err := key.AppendCanonical(b)
	if err != nil {
		return false // a key that is not valid is the inner adapter's to refuse
	}
	sum := sha256.Sum256(append(b, name...))
	return binary.LittleEndian.Uint64(sum[:])%million < limit
}

// gap tells whether position i of a load of n keys is one that misses.
func (o *Options) gap(i, n int) bool {
	return slices.Contains(o.GapIndices, i) || slices.ContainsFunc(o.GapTailRatios, func(r float64) bool {
		return i == int(math.RoundToEven((1-r)*float64(n-1)))
	})
}
