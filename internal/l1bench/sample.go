package l1bench

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"
)

// sample is what several threads did in their turns.
type sample struct {
	took   []time.Duration // per call
	amount int64
	wall   time.Duration // of the turns, summed
}

// turns runs one op per thread side by side for about d.
func (s *sample) turns(ctx context.Context, ops []op, d time.Duration) error {
	took := make([][]time.Duration, len(ops))
	amounts, errs := make([]int64, len(ops)), make([]error, len(ops))
	begin := time.Now()
	var wg sync.WaitGroup
	for i, do := range ops {
		wg.Go(func() {
			for now := time.Now(); errs[i] == nil && ctx.Err() == nil; { // once at least, however late this goroutine got to run
				n, err := do()
				end := time.Now()
				took[i] = append(took[i], end.Sub(now))
				if amounts[i], errs[i], now = amounts[i]+n, err, end; now.Sub(begin) >= d {
					break
				}
			}
		})
	}
	wg.Wait()
	s.wall += time.Since(begin)
	s.took = append(s.took, slices.Concat(took...)...)
	for _, n := range amounts {
		s.amount += n
	}
	return errors.Join(errs...)
}

// rank is the call that a share of all, in percent, was not slower than.
func (s *sample) rank(percent int) time.Duration {
	if len(s.took) == 0 {
		return 0
	}
	slices.Sort(s.took)
	return s.took[(percent*len(s.took)+99)/100-1]
}

// value is the sample in a unit: bytes a second, or the median time of a call, in
// which several events may be.
func (s *sample) value(unit string) float64 {
	if s.wall == 0 || len(s.took) == 0 {
		return 0
	}
	switch unit {
	case "GB/s":
		return float64(s.amount) / s.wall.Seconds() / 1e9
	case "ns":
		return float64(s.rank(50)) / published
	default:
		return microseconds(s.rank(50))
	}
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// allocations is how many allocations one call makes.
func allocations(do op) (float64, error) {
	const calls = 200
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		if _, err := do(); err != nil {
			return 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / calls, nil
}
