package storage

import (
	"cmp"
	"time"
)

// BreakerState says whether calls reach an adapter.
type BreakerState string

// States of a breaker.
const (
	BreakerClosed   BreakerState = "closed"
	BreakerOpen     BreakerState = "open"      // calls fail at once
	BreakerHalfOpen BreakerState = "half_open" // one probe is on its way
)

// TierStats is the state of one outer tier at one moment. It is a value: maps in it
// are the reader's own.
type TierStats struct {
	Index   int    // position among the tiers
	Name    string // in events, metrics and logs
	Type    string // registered type of the adapter
	Healthy bool

	EvictionPolicy string  // empty: exact LRU when a store needs room
	Watermark      float64 // of the capacity or of a quota, at which eviction begins
	EvictionRatio  float64 // of the bytes, that one round takes

	Breaker        BreakerState
	BreakerRetryIn time.Duration // open: until the next probe

	InflightStores    int           // store tasks that run
	InflightLoads     int           // prefetches of which a load runs
	InflightLoadBytes int64         // of L1 that these loads are to fill; a byte belongs to one tier
	InflightCalls     int           // calls of the adapter that have not returned
	OldestCall        time.Duration // age of the oldest of these; 0: there is none
	Pins              int           // keys that prefetches keep from being evicted

	UsedBytes     int64 // as stored, with header and padding
	CapacityBytes int64 // 0: unknown or unlimited, unless Full
	Full          bool  // the capacity is 0 because the store has no room, as on a full disk
	Objects       int64
	BytesBySalt   map[string]int64 // without those of none
	ScanComplete  bool             // all that was there at the start is accounted for; false for good if that could not be listed

	WrittenBytes     int64 // to the adapter, since the start
	ReadBytes        int64 // from the adapter, since the start
	Corrupt          int64 // objects that failed verification
	FailuresByReason map[string]int64

	BreakerReason string // why it is not closed
	QueuedLoads   int    // objects that wait for a slot
	QueuedStores  int
	ReservedBytes int64          // for stores under way
	Retries       int64          // of stores of single objects
	Evicted       int64          // objects
	Raw           bool           // objects are stored without a header: only their length can be verified
	Details       map[string]any // what the adapter says of itself; nil: nothing
}

// UsageFraction is the used part of the capacity; -1 if that is unknown or unlimited.
func (t *TierStats) UsageFraction() float64 {
	if t.CapacityBytes <= 0 {
		return -1
	}
	return float64(t.UsedBytes) / float64(t.CapacityBytes)
}

// describe adds what is known of a tier's adapter.
func (t *TierStats) describe(from *Tier) {
	t.Type = cmp.Or(from.Settings.Type, from.Name)
	if e := from.Settings.Eviction; e != nil {
		t.EvictionPolicy, t.Watermark, t.EvictionRatio = e.Policy, e.Watermark, e.Ratio
	}
}
