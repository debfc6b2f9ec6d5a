package fault

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"time"

	"github.com/lmcache-go/lmcache/l2"
)

// maxSeed is the largest seed that JSON carries exactly, if an int has room for it.
const maxSeed = min(1<<53-1, math.MaxInt)

// Kind is the type fault_inject of a configuration.
func Kind() l2.Kind {
	return l2.Kind{Names: []string{"fault_inject"}, Wrap: func(f *l2.Fields, _ *l2.Settings, inner l2.OpenFunc) l2.OpenFunc {
		part := l2.Bounds{Max: 1}
		o := Options{
			Seed:              uint64(f.Int("seed", 0, 0, maxSeed)),
			Rate:              f.Float("rate", 0, part),
			GapIndices:        f.Ints("gap_indices", 0, math.MaxInt32),
			GapTailRatios:     f.Numbers("gap_tail_ratios", part),
			StoreErrorRate:    f.Float(storeName, 0, part),
			LookupErrorRate:   f.Float(lookupName, 0, part),
			CorruptRate:       f.Float(corruptName, 0, part),
			ShortReadRate:     f.Float(shortName, 0, part),
			HangRate:          f.Float(hangName, 0, part),
			IgnoreContextRate: f.Float(ignoreName, 0, part),
			Latency:           time.Duration(f.Float("latency_ms", 0, l2.Bounds{Max: 3600_000}) * float64(time.Millisecond)),
		}
		f.Warn("faults are injected: this is for trials")
		return func(ctx context.Context, log *slog.Logger) (l2.Adapter, error) {
			a, err := inner(ctx, log)
			if err != nil {
				return nil, err
			}
			w, err := New(a, o)
			if err != nil {
				return nil, errors.Join(err, a.Close())
			}
			return w, nil
		}
	}}
}
