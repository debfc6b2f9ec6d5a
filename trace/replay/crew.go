package replay

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// job is a record on its way to a worker.
type job struct {
	entry
	line *heldLine // nil: it is of the extended format

	before []*job        // that must be over first
	over   chan struct{} // closed when it is; nil with one worker

	after   []*job              // lookups that must have resolved first
	handles []*storage.Prefetch // of a lookup that has not
}

// crew makes calls with several workers in causal order: what shares a key, an owner or
// an external request id is made in the order of the recording. All calls of an owner go
// to one worker, which makes its calls one after the other and waits before each for
// those of other workers that it shares something with. These come earlier in the
// recording, so the earliest call that is not made is never one that waits.
//
// With one worker there is no goroutine: take makes the call.
type crew struct {
	u       *run
	workers []*worker
	open    sync.WaitGroup // jobs that are not over
	running sync.WaitGroup // workers

	keys     map[kv.Key]*job // the last one of each
	requests map[string]*job
	parts    map[int64][]kv.Key // by owner: keys of a release that goes on, which are given back at its end
	lookups  *lookups           // nil: there are no tiers, so that all resolve at once
	sweepAt  int                // size at which jobs that are over are forgotten
}

type worker struct {
	p    *player
	jobs chan *job
}

// queueLength is how many calls a worker may be behind the reader of the recording.
const queueLength = 256

// firstSweep is how many keys are known before those are forgotten that nobody uses.
const firstSweep = 1 << 14

func newCrew(ctx context.Context, u *run) *crew {
	c := &crew{u: u, keys: make(map[kv.Key]*job), requests: make(map[string]*job), parts: make(map[int64][]kv.Key), sweepAt: firstSweep}
	if len(u.o.Manager.Stats().Tiers) > 0 {
		c.lookups = &lookups{open: make(map[int64]*job)}
	}
	for range max(u.o.Workers, 1) {
		p := newPlayer(u.o, &Result{Ops: make(map[string]*Op)})
		p.verdict, p.collect = u.verdict, u.o.Complete != nil
		c.workers = append(c.workers, &worker{p: p, jobs: make(chan *job, queueLength)})
	}
	if c.single() {
		return c
	}
	for _, w := range c.workers {
		c.running.Go(func() {
			for j := range w.jobs {
				c.do(ctx, w, j)
			}
		})
	}
	return c
}

// single reports whether there is one worker.
func (c *crew) single() bool { return len(c.workers) == 1 }

// take has a job done, at once or by a worker. Jobs come in the order of the recording.
func (c *crew) take(ctx context.Context, j *job) {
	if c.lookups != nil {
		c.lookups.take(j)
	}
	if c.single() {
		c.make(ctx, c.workers[0], j)
		return
	}
	owner := storage.NoCall
	if j.call != nil {
		switch j.call.Name {
		case storage.CallClear, storage.CallQuota: // concern everybody
			c.open.Wait()
			c.u.make(ctx, c.workers[0].p, j)
			return
		case storage.CallDelete, storage.CallTouch: // belong to nobody
			owner = j.number
		default:
			owner = ownerOf(j.call)
		}
	}
	w := c.of(owner)
	c.order(j)
	c.open.Add(1)
	w.jobs <- j
}

// of is the worker of an owner.
func (c *crew) of(owner int64) *worker {
	return c.workers[uint64(owner)*0x9e3779b97f4a7c15>>32%uint64(len(c.workers))]
}

// order notes what has to be over before a job, and that it has to be before what comes.
func (c *crew) order(j *job) {
	j.over = make(chan struct{})
	if j.call == nil {
		return
	}
	after := func(last *job) {
		if last != nil && last != j && !last.isOver() && !slices.Contains(j.before, last) {
			j.before = append(j.before, last)
		}
	}
	for _, k := range c.touched(j.call) {
		after(c.keys[k])
		c.keys[k] = j
	}
	if id := j.call.RequestID; id != "" {
		after(c.requests[id])
		c.requests[id] = j
	}
	if len(c.keys)+len(c.requests) > c.sweepAt {
		maps.DeleteFunc(c.keys, func(_ kv.Key, j *job) bool { return j.isOver() })
		maps.DeleteFunc(c.requests, func(_ string, j *job) bool { return j.isOver() })
		c.sweepAt = max(firstSweep, 2*(len(c.keys)+len(c.requests)))
	}
}

// touched are the keys that a call changes something of: the end of a release gives back
// what the parts before it have named.
func (c *crew) touched(call *trace.Call) []kv.Key {
	if call.Name != storage.CallFinishRead || call.Aborted {
		return call.Keys
	}
	parts := c.parts[call.Owner]
	if call.Unused && call.More {
		c.parts[call.Owner] = append(parts, call.Keys...)
		return call.Keys
	}
	delete(c.parts, call.Owner)
	return append(parts, call.Keys...)
}

func (j *job) isOver() bool {
	select {
	case <-j.over:
		return true
	default:
		return false
	}
}

// do is the work of one worker.
func (c *crew) do(ctx context.Context, w *worker, j *job) {
	defer c.open.Done()
	defer close(j.over)
	for _, b := range j.before {
		<-b.over
	}
	j.before = nil
	if ctx.Err() != nil {
		w.p.r.Interrupted = true
		return
	}
	c.make(ctx, w, j)
}

// make makes the call of a job.
func (c *crew) make(ctx context.Context, w *worker, j *job) {
	j.await(ctx)
	c.u.make(ctx, w.p, j)
	if c.lookups != nil && j.call != nil {
		j.handles = w.p.unresolved
	}
}

// recorded takes outcomes of the recording that come before the next job.
func (c *crew) recorded(outcomes []trace.Outcome) {
	if c.lookups != nil {
		c.lookups.resolved(outcomes)
	}
	c.abort(outcomes)
}

// abort carries out what outcomes say was given up.
func (c *crew) abort(outcomes []trace.Outcome) {
	for i := range outcomes {
		if outcomes[i].Aborted == nil {
			continue
		}
		c.open.Wait() // what comes after it may write the same keys
		c.of(outcomes[i].N).p.abort(outcomes[i : i+1])
	}
}

// end waits until everything is done.
func (c *crew) end() {
	for _, w := range c.workers {
		close(w.jobs)
	}
	c.running.Wait()
}
