package observe

import (
	"fmt"
	"slices"
)

// Grid names the bucket bounds of a histogram.
type Grid uint8

// Grids.
const (
	NoGrid            Grid = iota // not a histogram
	OperationGrid                 // seconds of one operation, 10 µs to 60 s
	SecondsGrid                   // seconds of a life, 1 ms to a day
	CappedSecondsGrid             // the same up to 300 s, which is the largest sample
	ChunksGrid                    // chunks, powers of 4
	ThroughputGrid                // GB/s
)

// Buckets chooses between the bounds of each histogram's own grid and the
// default grid of OpenTelemetry. The zero value is Tuned.
type Buckets string

// Values of Buckets.
const (
	Tuned   Buckets = "tuned"
	Default Buckets = "otel"
)

// Validate says what is wrong with b, if anything.
func (b Buckets) Validate() error {
	switch b {
	case "", Tuned, Default:
		return nil
	}
	return fmt.Errorf("buckets: %q is neither %q nor %q", string(b), Tuned, Default)
}

// Bounds returns the upper bounds of the buckets of g under b, ascending; nil if
// g is NoGrid.
func (b Buckets) Bounds(g Grid) []float64 {
	switch {
	case g == NoGrid:
		return nil
	case b == Default:
		return []float64{0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000}
	}
	switch g {
	case SecondsGrid:
		return lifeSeconds()
	case CappedSecondsGrid:
		all := lifeSeconds()
		return all[:slices.Index(all, maxEvictGap.Seconds())+1]
	case ChunksGrid:
		return []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216}
	case ThroughputGrid:
		return []float64{0.05, 0.1, 0.25, 0.5, 1, 2, 4, 6, 8, 12, 16, 20, 25, 32, 40, 50, 64, 80, 100, 128, 200, 256, 400}
	default:
		return []float64{
			0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
			0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 60,
		}
	}
}

func lifeSeconds() []float64 {
	return []float64{
		0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 86400,
	}
}
