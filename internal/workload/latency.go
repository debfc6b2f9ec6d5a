package workload

import (
	"slices"
	"time"
)

// Latency is how long operations of a kind took, in milliseconds: percentiles by
// nearest rank, all 0 if there was no operation.
type Latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// latencyOf sorts its argument.
func latencyOf(took []time.Duration) Latency {
	if len(took) == 0 {
		return Latency{}
	}
	slices.Sort(took)
	rank := func(percent int) float64 {
		return milliseconds(took[(percent*len(took)+99)/100-1])
	}
	return Latency{P50: rank(50), P90: rank(90), P99: rank(99), Max: milliseconds(took[len(took)-1])}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
