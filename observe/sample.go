package observe

import (
	"fmt"
	"math/rand/v2"
)

// DefaultSampleRate is the share of chunks, blocks and transfers that the
// lifecycle and throughput histograms follow.
const DefaultSampleRate = 0.01

// checkRate says what is wrong with a sample rate, if anything.
func checkRate(rate float64) error {
	if rate > 0 && rate <= 1 {
		return nil
	}
	return fmt.Errorf("sample_rate must be in (0, 1.0], got %v", rate)
}

// draw samples at random what has no key that could be hashed. The sequence is
// the same in every process, so that equal events give equal metrics.
type draw struct {
	rate float64
	rand *rand.Rand
}

func newDraw(rate float64) draw {
	return draw{rate: rate, rand: rand.New(rand.NewPCG(1, 2))}
}

// wins reports whether one more is in the sample.
func (d *draw) wins() bool { return d.rate >= 1 || d.rand.Float64() < d.rate }
