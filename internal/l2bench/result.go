package l2bench

import (
	"math"
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/l2"
)

// Result is what came of one operation.
type Result struct {
	Operation    Op
	KeysPerRound int
	RoundBytes   int64           // payload of a round; 0 for lookups
	Durations    []time.Duration // of each measured round
	TimedOut     int             // rounds in which a call took longer than it may
	Success      int             // keys
	Expected     int             // keys that should have been successful
	Wrong        int             // keys that were loaded with other bytes than were stored
	Failures     map[l2.Reason]int
	Causes       map[l2.Reason]error // of the first failure of each reason

	Raw       []time.Duration // of the plain program, by round; empty: there is none
	RawDirect bool            // it went around the page cache
	RawClient bool            // it was a client of the adapter's store
}

// TotalKeys is the number of keys of all measured rounds.
func (r *Result) TotalKeys() int { return r.KeysPerRound * len(r.Durations) }

// Summary is the distribution of the durations of rounds.
type Summary struct{ Avg, Min, Max, P50, P99, Std time.Duration }

// Summary of no rounds is zero.
func (r *Result) Summary() Summary {
	if len(r.Durations) == 0 {
		return Summary{}
	}
	d := slices.Sorted(slices.Values(r.Durations))
	mean := average(d)
	var squares float64
	for _, v := range d {
		squares += float64(v-mean) * float64(v-mean)
	}
	rank := func(percent int) time.Duration { return d[(percent*len(d)+99)/100-1] }
	return Summary{
		Avg: mean, Min: d[0], Max: d[len(d)-1], P50: rank(50), P99: rank(99),
		Std: time.Duration(math.Sqrt(squares / float64(len(d)))),
	}
}

func average(d []time.Duration) time.Duration {
	var sum time.Duration
	for _, v := range d {
		sum += v
	}
	return sum / time.Duration(len(d))
}

// Rate is bytes per second of a round that took d. Keys that failed are left out, as
// if every round had an equal part of them.
func (r *Result) Rate(d time.Duration) float64 {
	if r.TotalKeys() == 0 {
		return 0
	}
	return perSecond(r.RoundBytes, d) * float64(r.Success) / float64(r.TotalKeys())
}

func perSecond(bytes int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(bytes) / d.Seconds()
}

// RawRate is bytes per second of the plain program, and what part of it the adapter
// reaches: the median over the pairs of rounds that followed each other. ok is false
// if there was none.
func (r *Result) RawRate() (rate, ratio float64, ok bool) {
	n := min(len(r.Raw), len(r.Durations))
	if n == 0 {
		return 0, 0, false
	}
	ratios := make([]float64, n)
	for i := range n {
		ratios[i] = float64(r.Raw[i]) / float64(max(r.Durations[i], 1))
	}
	slices.Sort(ratios)
	return perSecond(r.RoundBytes, average(r.Raw[:n])), ratios[(n-1)/2], true
}
