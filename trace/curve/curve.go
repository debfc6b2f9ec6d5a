package curve

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lmcache-go/lmcache/internal/belady"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l1/policy"
)

// Names of curves that are computed.
const (
	LRUIdeal = "LRU-ideal"
	Belady   = "Belady"
)

// Infinite is the size of a cache that holds everything.
const Infinite = math.MaxInt64

// Options configures Run.
type Options struct {
	Sizes    []int64  // of L1 in bytes; one that an object does not fit in never has it; none: see DefaultSizes
	Policies []Policy // that are run; none: only what is computed
	Parallel int      // runs at a time; 0: as many as there are processors

	// Progress hears how much of the work is done, from several goroutines.
	Progress func(done, total int64)
}

// Validate reports all problems of o at once; nil if there is none.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("curve: "+format, args...)) }
	for _, n := range o.Sizes {
		if n <= 0 {
			bad("Sizes: must be positive, got %d", n)
		}
	}
	if o.Parallel < 0 {
		bad("Parallel: must not be negative, got %d", o.Parallel)
	}
	for _, p := range o.Policies {
		check := l1.Options{Bytes: 1, NoBytes: true, Policy: p.Name, Mode: p.Mode, Watermark: p.Watermark, EvictionRatio: p.EvictionRatio}
		if err := check.Validate(); err != nil {
			bad("Policies: %w", err)
		}
	}
	return errors.Join(errs...)
}

// Row is one value of one curve.
type Row struct {
	Bytes        int64 // of L1; Infinite
	Policy       string
	HitRatio     float64 // keys of lookups that were served
	ByteHitRatio float64 // their bytes
}

// Result is the curves of a workload.
type Result struct {
	Sizes    []int64  // ascending, Infinite last
	Policies []string // LRUIdeal, those that were run, Belady
	Rows     []Row    // by size, then in the order of Policies
}

// At is the row of a size and a policy; ok is false if there is none.
func (r *Result) At(bytes int64, policy string) (row Row, ok bool) {
	i := slices.IndexFunc(r.Rows, func(row Row) bool { return row.Bytes == bytes && row.Policy == policy })
	if i < 0 {
		return row, false
	}
	return r.Rows[i], true
}

// DefaultSizes are a quarter of base to four times of it, and everything. Without a
// base they are parts of all that the workload ever stores, from a 64th to a half. Each
// holds the largest object, and none is there twice.
func (w *Workload) DefaultSizes(base int64) []int64 {
	var sizes []int64
	add := func(bytes int64) { sizes = append(sizes, max(bytes, w.largest, 1)) }
	if base > 0 {
		for _, f := range []float64{.25, .5, 1, 2, 4} {
			add(int64(float64(base) * f))
		}
	} else {
		for shift := 6; shift > 0; shift-- {
			add(int64(float64(w.Size)/w.scale) >> shift)
		}
	}
	return slices.Compact(append(sizes, Infinite))
}

// Supported reports whether a recorded policy is one that can be run.
func (p Policy) Supported() bool { return slices.Contains(policy.Names(), p.Name) }

// job is one value that is to be computed.
type job struct {
	row    int
	bytes  int64
	policy *Policy // nil: the bound
}

// Run computes the curves of w. When ctx ends it returns its error.
func (w *Workload) Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if len(o.Sizes) == 0 {
		o.Sizes = w.DefaultSizes(w.Config.Bytes)
	}
	r := &Result{Sizes: slices.Compact(slices.Sorted(slices.Values(o.Sizes))), Policies: []string{LRUIdeal}}
	var policies []Policy
	for _, p := range o.Policies {
		if !slices.Contains(r.Policies, p.String()) {
			policies = append(policies, p)
			r.Policies = append(r.Policies, p.String())
		}
	}
	r.Policies = append(r.Policies, Belady)
	var jobs []job
	for _, bytes := range r.Sizes {
		for i, name := range r.Policies {
			j := job{row: len(r.Rows), bytes: bytes}
			if i > 0 && i <= len(policies) {
				j.policy = &policies[i-1]
			}
			if i > 0 {
				jobs = append(jobs, j)
			}
			r.Rows = append(r.Rows, Row{Bytes: bytes, Policy: name})
		}
	}
	slices.Reverse(jobs) // the large caches, which take longest, first
	counts := make([]belady.Count, len(r.Rows))
	if err := w.work(ctx, &o, jobs, counts); err != nil {
		return nil, err
	}
	stack := w.Stack()
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Bytes < w.smallest {
			continue // nothing fits
		}
		if row.Policy == LRUIdeal {
			counts[i] = stack.At(w.scaled(row.Bytes))
		}
		row.HitRatio = w.ratio(counts[i].Hits, counts[i].Requested, w.allKeys)
		row.ByteHitRatio = w.ratio(counts[i].HitSize, counts[i].RequestedSize, w.allBytes)
	}
	return r, nil
}

// work does jobs, some at a time.
func (w *Workload) work(ctx context.Context, o *Options, jobs []job, counts []belady.Count) error {
	var done atomic.Int64
	events := int64(len(w.events))
	total := events * int64(len(jobs))
	progress := func(n int64) {
		if now := done.Add(n); o.Progress != nil {
			o.Progress(now, total)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan job)
	var wg sync.WaitGroup
	parallel := o.Parallel
	if parallel == 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	for range min(parallel, len(jobs)) {
		wg.Go(func() {
			for j := range next {
				c, err := w.job(ctx, &j, progress)
				if err != nil {
					cancel(err)
				}
				counts[j.row] = c
			}
		})
	}
	for _, j := range jobs {
		if ctx.Err() != nil {
			break
		}
		next <- j
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

func (w *Workload) job(ctx context.Context, j *job, progress func(int64)) (belady.Count, error) {
	if ctx.Err() != nil {
		return belady.Count{}, context.Cause(ctx)
	}
	if j.policy != nil {
		return w.simulate(ctx, w.runBytes(j.bytes), *j.policy, progress)
	}
	c := w.trace.Bound(w.scaled(j.bytes))
	progress(int64(len(w.events)))
	return c, nil
}

// ratio is the part of what was asked for that was served, given what was asked for in
// the whole recording. Few keys are asked for very often, and whether they are in a
// sample moves all ratios by the same amount: what is missing of, or too much for, the
// sample's share of the whole is taken to be theirs, which every cache has.
func (w *Workload) ratio(hits, requested, all int64) float64 {
	if requested == 0 {
		return 0
	}
	share := float64(requested)
	if w.scale < 1 {
		share = float64(all) * w.scale
	}
	return min(max((float64(hits)+share-float64(requested))/share, 0), 1)
}

// scaled is a size of L1 as the sample sees it. What holds an object does so in the
// sample, too.
func (w *Workload) scaled(bytes int64) int64 {
	if bytes == Infinite || w.scale == 1 {
		return bytes
	}
	return max(int64(math.Round(float64(bytes)*w.scale)), min(bytes, w.largest), 1)
}

// runBytes is a size of L1 that can be run: one that holds everything is so large that
// no watermark is ever reached.
func (w *Workload) runBytes(bytes int64) int64 {
	most := math.MaxUint32 * int64(w.align)
	return min(w.scaled(bytes), max(w.Size, 1<<20)*64, most)
}
