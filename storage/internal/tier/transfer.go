package tier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// storeEvery is how often a slot goes to a store although loads wait: after so many
// calls of loads that went before it. Stores hold half of the slots at most then.
const storeEvery = 8

// dispatchLocked begins what can begin: loads first, and stores if no load waits or it
// is their turn. Loads whose time is over do not begin.
func (t *Tier) dispatchLocked(now time.Time) {
	if t.mu.stopped && len(t.mu.loads.jobs)+len(t.mu.stores.jobs) == 0 {
		return
	}
	t.endLoadsLocked(now)
	stuck := false // the next store waits for room
	for t.mu.running < t.s.Workers {
		l, s := t.mu.loads.head(), t.mu.stores.head()
		if l == nil {
			t.mu.ahead = 0
		}
		if s != nil && !stuck && (l == nil || t.turnLocked()) {
			if list := t.admitLocked(s, now); len(list) > 0 {
				t.mu.ahead, t.mu.wanted = 0, false
				t.beginLocked(s, list, now)
			} else {
				stuck = t.mu.stores.head() == s && len(s.todo) > 0
			}
			continue
		}
		if l == nil {
			break
		}
		t.beginLocked(l, t.takeLocked(l), now)
		t.aheadLocked(s != nil)
	}
	t.roundLocked(now)
	t.eraseLocked(now)
	if t.mu.running < t.s.Workers && len(t.mu.loads.jobs) == 0 && t.mu.stores.head() == nil && t.mu.breaker.state == StateClosed {
		t.later(t.o.Sink.Room)
	}
}

// turnLocked reports whether the next slot goes to a store, whatever waits.
func (t *Tier) turnLocked() bool {
	return t.mu.ahead >= storeEvery && t.mu.storing < max(1, t.s.Workers/2)
}

// aheadLocked counts a call of a load that went before stores, which wait here or
// where Room is heard.
func (t *Tier) aheadLocked(here bool) {
	if !here && !t.mu.wanted {
		return
	}
	if t.mu.ahead++; !here && t.turnLocked() {
		t.mu.wanted = false
		t.later(t.o.Sink.Room)
	}
}

// share is how many of n objects one call gets: they are spread over the free slots.
func (t *Tier) share(n int) int {
	free := max(1, t.s.Workers-t.mu.running)
	return min((n+free-1)/free, t.s.PerOpWorkers)
}

// endLoadsLocked gives up the loads that wait although nobody waits for them any more.
func (t *Tier) endLoadsLocked(now time.Time) {
	for _, j := range t.mu.loads.jobs {
		if !over(j.Deadline, now) {
			continue
		}
		todo := j.todo
		j.todo = nil
		for _, i := range todo {
			t.settleLocked(j, i, errOver)
		}
	}
}

// errOver is the outcome of a load that did not begin in time.
var errOver = fmt.Errorf("%w: the deadline was over before its turn came", l2.ErrTimeout)

// takeLocked takes the objects of the next call of a load.
func (t *Tier) takeLocked(j *Job) []int {
	n := t.share(len(j.todo))
	list := j.todo[:n:n]
	j.todo = j.todo[n:]
	return list
}

// beginLocked begins one call for objects of a job.
func (t *Tier) beginLocked(j *Job, list []int, now time.Time) {
	x := &transfer{t: t, j: j, list: list, items: make([]l2.Item, len(list))}
	c := &call{op: opLoad, job: j, keys: len(list), deadline: now.Add(t.s.Timeouts.Load)}
	if j.store {
		t.mu.storing++
		c.op, c.deadline = opStore, now.Add(t.s.Timeouts.Store)
	} else {
		c.hurry(j.Deadline)
	}
	for _, i := range list {
		o := &j.Objects[i]
		o.state = objectRunning
		if o.tries++; j.store {
			t.writingLocked(o.Key, 1)
		}
		j.Attempts = max(j.Attempts, o.tries)
		c.bytes += o.Layout.Size()
	}
	if j.Began.IsZero() {
		j.Began = now
	}
	t.mu.running++
	x.c = c
	c.do, c.done, c.lost, c.back = x.do, x.done, x.lost, x.back
	t.startLocked(c, now)
}

// transfer is one call that moves objects.
type transfer struct {
	t     *Tier
	j     *Job
	c     *call
	list  []int // objects of the job
	items []l2.Item
	limit int64 // of the store itself, after the call
	asked bool  // limit is set
}

// do runs the call, without the mutex. It only reads what the job's objects ask for.
func (x *transfer) do(ctx context.Context) error {
	t := x.t
	var err error
	if x.j.store {
		err = x.store(ctx)
	} else {
		err = x.load(ctx)
	}
	if !x.j.store {
		x.touch(ctx)
	}
	if x.j.store {
		x.limit, x.asked = t.askLimit()
	}
	return err
}

// touch tells a store that keeps the order of use what was read.
func (x *transfer) touch(ctx context.Context) {
	toucher, ok := l2.AbilityOf[l2.Toucher](x.t.adapter)
	if !ok {
		return
	}
	var keys []kv.Key
	for i := range x.items {
		if x.items[i].Err == nil {
			keys = append(keys, x.items[i].Key)
		}
	}
	if len(keys) > 0 {
		toucher.Touch(ctx, keys, x.t.rt.Now())
	}
}

// free gives the slot of the call back.
func (x *transfer) free() {
	x.t.mu.running--
	if !x.j.store {
		return
	}
	x.t.mu.storing--
	for _, i := range x.list {
		x.t.writingLocked(x.j.Objects[i].Key, -1)
	}
}

// done takes the outcomes over.
func (x *transfer) done(err error) {
	t, j, now := x.t, x.j, x.t.rt.Now()
	x.free()
	if x.asked {
		t.limitLocked(x.limit, now)
	}
	t.heardLocked(x.c, err, x.items, now)
	if t.ctx.Err() != nil && err != nil {
		err = fmt.Errorf("%w: %w", l2.ErrClosed, err)
	}
	for n, i := range x.list {
		o, it := &j.Objects[i], &x.items[n]
		why := it.Err
		if err != nil {
			why = err
		}
		o.state = objectWaiting
		if t.againLocked(x.c, why, now) {
			j.todo = append(j.todo, i)
			t.enqueueLocked(j)
			continue
		}
		if j.store {
			t.storedLocked(j, i, it, why, now)
		} else {
			t.loadedLocked(j, i, it, why, now)
		}
	}
}

// lost gives the call up: its slot is free, its objects have timed out, and their
// buffers stay with it.
func (x *transfer) lost() {
	t, j := x.t, x.j
	x.free()
	t.scratch.giveUp(x)
	j.late++
	for _, i := range x.list {
		o := &j.Objects[i]
		o.Late++
		o.state = objectWaiting
		err := fmt.Errorf("%w: the call did not end at its deadline", l2.ErrTimeout)
		if j.store {
			t.unreserveLocked(o)
			t.failStoreLocked(j, i, err, t.rt.Now())
		} else {
			t.settleLocked(j, i, err)
		}
	}
}

// back says that a call that was given up has returned. What it has stored all the same
// is in the store.
func (x *transfer) back() {
	t, now := x.t, x.t.rt.Now()
	x.j.late--
	t.returnLocked(x.j)
	if !x.j.store {
		return
	}
	if x.asked {
		t.limitLocked(x.limit, now)
	}
	for n, i := range x.list {
		if x.c.err == nil && x.items[n].Err == nil {
			t.lateLocked(&x.j.Objects[i], &x.items[n], now)
		}
	}
}

// lateLocked counts an object of a store that was given up, unless another one has stored
// it meanwhile, or it is being deleted.
func (t *Tier) lateLocked(o *Object, it *l2.Item, now time.Time) {
	if it.Gone > 0 {
		t.displacedLocked(o.Key, it.Gone, now)
	}
	t.mu.counts.written += it.N
	if t.mu.index.find(o.Key) == 0 && !t.leavingLocked(o.Key, 0) {
		t.addLocked(o.Key, t.sizeLocked(o, it), now, true)
		t.linkLocked(o.After, o.Key)
	}
}

// sizeLocked is what an object takes that is stored now.
func (t *Tier) sizeLocked(o *Object, it *l2.Item) int64 {
	switch id := t.mu.index.find(o.Key); {
	case t.serde == nil: // what was expected is what it takes
	case it.N > 0:
		return t.format.StoredSize(t.format.HeadLen(o.Key, t.serdeName()), it.N)
	case id != 0: // it was there
		return t.mu.index.at(id).size
	}
	return o.size
}

// storedLocked takes over the outcome of a store.
func (t *Tier) storedLocked(j *Job, i int, it *l2.Item, err error, now time.Time) {
	o := &j.Objects[i]
	t.unreserveLocked(o)
	if it.Gone > 0 {
		t.displacedLocked(o.Key, it.Gone, now)
	}
	if err != nil {
		full := l2.ReasonOf(err) == l2.ReasonNoSpace && o.short == nil && !t.mu.stopped
		switch {
		case full && t.mu.breaker.state != StateClosed: // it waits: nothing can be deleted for it now
			t.settleLocked(j, i, ErrOpen)
		case full && t.refusedLocked(j, i, now): // it waits for room
		default:
			t.failStoreLocked(j, i, err, now)
		}
		return
	}
	o.N = it.N
	j.Moved += it.N
	t.mu.counts.written += it.N
	t.addLocked(o.Key, t.sizeLocked(o, it), now, true)
	t.linkLocked(o.After, o.Key)
	t.settleLocked(j, i, nil)
}

// failStoreLocked lets an object wait for its next attempt, or gives it up.
func (t *Tier) failStoreLocked(j *Job, i int, err error, now time.Time) {
	o := &j.Objects[i]
	o.Slow = o.Slow || l2.ReasonOf(err) == l2.ReasonTimeout
	switch {
	case t.mu.stopped:
		t.settleLocked(j, i, fmt.Errorf("%w: %w", l2.ErrClosed, err))
	case !l2.ReasonOf(err).Transient():
		t.settleLocked(j, i, err)
	case t.mu.breaker.state != StateClosed: // it waits, and why is counted once for each opening
		t.failedLocked(reasonOf(err), 1)
		t.settleLocked(j, i, ErrOpen)
	case o.tries >= t.s.Retry.Attempts:
		t.settleLocked(j, i, err)
	default:
		t.mu.counts.retries++
		t.pauseLocked(j, i, now)
	}
}

// loadedLocked takes over the outcome of a load.
func (t *Tier) loadedLocked(j *Job, i int, it *l2.Item, err error, now time.Time) {
	o := &j.Objects[i]
	why := l2.ReasonOf(err)
	if errors.Is(err, errBound) { // that says nothing about the object
		why = l2.ReasonIO
	}
	switch why {
	case l2.ReasonNone:
		o.N = it.N
		j.Moved += it.N
		t.mu.counts.read += it.N
	case l2.ReasonNotFound:
		t.forgetLocked(o.Key, CauseDelete, now)
	case l2.ReasonCorrupt, l2.ReasonSerde: // what cannot be converted never will be
		t.corruptLocked(o, err, now)
	case l2.ReasonLayout:
		t.deleteLocked(&deletion{keys: keysOf(o.Key), cause: CauseLayout, force: true})
	default:
	}
	t.settleLocked(j, i, err)
}
