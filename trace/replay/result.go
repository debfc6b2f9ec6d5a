package replay

import (
	"math"
	"slices"
	"time"
)

// Result is what a run did.
type Result struct {
	Replayed, Skipped, Failed int64 // calls of the plain format
	Own                       int64 // calls that only the extended format has, carried out
	Duration                  time.Duration
	Ops                       map[string]*Op // by qualified name
	Interrupted               bool           // the context ended before the recording did

	Lookups, Requested, Hits int64 // prefetches, their keys, and those that were found
	Reads, Misses            int64 // scopes that could be entered, and that could not
	Reserved                 int64 // objects that got memory
	FailedKeys               int64 // keys of a finish that were not held any more
	Aborts                   int64 // recorded, carried out
	VerifyFailures           int64 // objects with wrong bytes
	LeftOpen                 int64 // owners that still held something at the end
	Unmatched                int64 // ends of scopes without a beginning
	Gaps, Lost               int64 // gap records, and the calls that they tell of
	Malformed                int64 // frames that cannot be decoded
	Late                     Late  // of Realtime
	waits                    []time.Duration

	// Of a replay in virtual time, or of one that knows the bus.
	L1Hits        int64  // of Hits, those that L1 had at submission
	Evicted       int64  // objects that left L1 as memory was needed
	OutcomeDigest string // of everything that was decided, in order, if it has an order; hexadecimal
	Comparison           // with what was recorded

	// Of a replay in virtual time.
	Virtual     bool
	VirtualTime time.Duration // that has passed
	L2Written   int64         // bytes
	L2Read      int64         // bytes

	// Strict is the first thing that Options.Strict forbids; empty if there is none.
	Strict string
}

// Late is how late calls were made.
type Late struct{ Max, P99 time.Duration }

// OK reports whether no call failed and nothing is wrong that Options.Strict forbids.
func (r *Result) OK() bool { return r.Failed == 0 && r.Strict == "" }

// HitRatio is the part of the requested keys that were found; NaN if there are none.
func (r *Result) HitRatio() float64 { return float64(r.Hits) / float64(r.Requested) }

// Wait is the percentile of the virtual times until lookups were resolved, by nearest
// rank.
func (r *Result) Wait(percent int) time.Duration { return rank(r.waits, percent) }

// count takes in a call that was made.
func (r *Result) count(name string, took time.Duration, err error) {
	op := r.Ops[name]
	if op == nil {
		op = &Op{}
		r.Ops[name] = op
	}
	if err != nil {
		op.Errors++
		r.Failed++
		return
	}
	op.took = append(op.took, took)
	r.Replayed++
}

// add adds the counts of one worker.
func (r *Result) add(w *Result) {
	for _, n := range []struct{ to, from *int64 }{
		{&r.Replayed, &w.Replayed},
		{&r.Skipped, &w.Skipped},
		{&r.Failed, &w.Failed},
		{&r.Own, &w.Own},
		{&r.Lookups, &w.Lookups},
		{&r.Requested, &w.Requested},
		{&r.Hits, &w.Hits},
		{&r.L1Hits, &w.L1Hits},
		{&r.Reads, &w.Reads},
		{&r.Misses, &w.Misses},
		{&r.Reserved, &w.Reserved},
		{&r.FailedKeys, &w.FailedKeys},
		{&r.Aborts, &w.Aborts},
		{&r.VerifyFailures, &w.VerifyFailures},
		{&r.LeftOpen, &w.LeftOpen},
		{&r.Unmatched, &w.Unmatched},
		{&r.Malformed, &w.Malformed},
	} {
		*n.to += *n.from
	}
	r.Interrupted = r.Interrupted || w.Interrupted
	for name, op := range w.Ops {
		to := r.Ops[name]
		if to == nil {
			to = &Op{}
			r.Ops[name] = to
		}
		to.Errors += op.Errors
		to.took = append(to.took, op.took...)
	}
}

// Op is the calls of one name.
type Op struct {
	Errors int64
	took   []time.Duration // of those without an error
	sorted bool
}

// Count is the number of calls without an error.
func (o *Op) Count() int { return len(o.took) }

// sort brings the latencies into order.
func (o *Op) sort() []time.Duration {
	if !o.sorted {
		slices.Sort(o.took)
		o.sorted = true
	}
	return o.took
}

// Milliseconds are figures of an Op; all 0 if no call went well.
type Milliseconds struct{ Mean, P50, P90, P99, Min, Max float64 }

// Milliseconds are the latencies.
func (o *Op) Milliseconds() Milliseconds {
	list := o.sort()
	if len(list) == 0 {
		return Milliseconds{}
	}
	sum := 0.0
	for _, d := range list {
		sum += ms(d)
	}
	return Milliseconds{
		Mean: sum / float64(len(list)), P50: ms(rank(list, 50)), P90: ms(rank(list, 90)), P99: ms(rank(list, 99)),
		Min: ms(list[0]), Max: ms(list[len(list)-1]),
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// rank is the percentile of a sorted list by nearest rank.
func rank(list []time.Duration, percent int) time.Duration {
	if len(list) == 0 {
		return 0
	}
	i := int(math.Ceil(float64(percent) * float64(len(list)) / 100))
	return list[max(i, 1)-1]
}
