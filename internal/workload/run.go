package workload

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/internal/belady"
)

var errRan = errors.New("workload: the driver has run its trace")

// Run runs the trace, once. When ctx ends it starts no further request, waits for
// those that run and returns what was done until then as interrupted. All events
// of the run have been delivered when it returns. What goes wrong with single
// requests is counted and logged; the error is about the run as a whole.
func (d *Driver) Run(ctx context.Context) (Result, error) {
	if d.ran.Swap(true) {
		return Result{}, errRan
	}
	begin := time.Now()
	reports := make([]report, len(d.o.Requests)) // of request i, by the goroutine that ran it
	d.feed(ctx, begin, reports)
	wall := time.Since(begin)
	if err := d.bus.Flush(context.WithoutCancel(ctx)); err != nil {
		return Result{}, err
	}
	r := d.sum(reports)
	r.Interrupted = ctx.Err() != nil && r.Requests < int64(len(reports))
	r.WallSeconds = wall.Seconds()
	if wall > 0 {
		r.RequestsPerSecond = float64(r.Requests) / wall.Seconds()
	}
	return r, nil
}

// feed hands the requests, in order and in time, to as many goroutines as may be
// in flight, and waits for them.
func (d *Driver) feed(ctx context.Context, begin time.Time, reports []report) {
	var (
		running  sync.WaitGroup
		progress sync.Mutex
		done     int
	)
	next := make(chan int)
	for range d.o.Concurrency {
		running.Go(func() {
			c := newClient(d)
			for i := range next {
				reports[i] = c.serve(ctx, i, &d.o.Requests[i])
				if d.o.Progress == nil {
					continue
				}
				progress.Lock()
				done++
				d.o.Progress(done)
				progress.Unlock()
			}
		})
	}
	defer running.Wait()
	defer close(next)
	for i := range d.o.Requests {
		if !d.due(ctx, begin, d.o.Requests[i].Timestamp) {
			return
		}
		select {
		case next <- i:
		case <-ctx.Done():
			return
		}
	}
}

// due waits until a request may start; false: the context has ended.
func (d *Driver) due(ctx context.Context, begin time.Time, at time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	if d.o.Speed == 0 {
		return true
	}
	at = time.Duration(float64(at) / d.o.Speed)
	timer := time.NewTimer(time.Until(begin.Add(at)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// sum adds the reports up.
func (d *Driver) sum(reports []report) Result {
	o := &d.o
	r := Result{
		Workload: o.Name, ChunkBytes: o.chunkBytes(), Concurrency: o.Concurrency, Policy: o.Engine.L1.Policy, Seed: o.Seed,
	}
	var lookups, retrieves, stores []time.Duration
	var trace belady.Trace
	for i := range reports {
		p := &reports[i]
		if !p.ran {
			continue
		}
		r.Requests++
		r.RequestedTokens += int64(o.Requests[i].InputLength)
		r.RequestedChunks += int64(p.chunks)
		r.HitChunks += int64(p.hits)
		r.StoredChunks += int64(p.stored)
		r.RetrievedBytes += p.retrievedBytes
		r.StoredBytes += p.storedBytes
		r.VerifyFailures += int64(p.wrong)
		r.Errors += int64(p.errors)
		lookups = appendPositive(lookups, p.lookup)
		retrieves = appendPositive(retrieves, p.retrieve)
		stores = appendPositive(stores, p.store)
		if !o.NoOptimal {
			trace.Add(p.prefixes)
		}
	}
	r.LookupMS, r.RetrieveMS, r.StoreMS = latencyOf(lookups), latencyOf(retrieves), latencyOf(stores)
	d.tally.add(&r, o.Engine.ChunkTokens)
	r.L1HitChunks = r.HitChunks - r.L2HitChunks
	all := d.engine.Stats().Storage
	for i := range all.Tiers {
		r.L2ReadBytes += all.Tiers[i].ReadBytes
		r.L2WrittenBytes += all.Tiers[i].WrittenBytes
	}
	stats := all.L1
	r.EvictedChunks = stats.EvictedObjects
	r.L2LostChunks = stats.EvictedPending
	r.CapacityChunks = stats.CapacityBytes / o.physicalBytes()
	r.EventsDropped = d.bus.Stats().Dropped
	if r.RequestedChunks > 0 {
		r.HitRatio = float64(r.HitChunks) / float64(r.RequestedChunks)
	}
	if !o.NoOptimal {
		optimal := trace.Bound(r.CapacityChunks).Ratio()
		r.OptimalHitRatio = &optimal
	}
	return r
}

func appendPositive(list []time.Duration, d time.Duration) []time.Duration {
	if d <= 0 {
		return list
	}
	return append(list, d)
}
