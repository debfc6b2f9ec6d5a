package runtime

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"time"
)

// VirtualOptions configures a Virtual runtime.
type VirtualOptions struct {
	Start time.Time                // virtual time at the beginning; zero: 1 January 2000 UTC
	Seed  uint64                   // of Rand
	Cost  func(Call) time.Duration // how long a call takes; nil: no time
	After func(now time.Time)      // runs after each step, e.g. to drain a bus; may be nil
}

// Virtual is a runtime whose time is a number: it advances to the next due
// event when nothing else is runnable. All of its methods, and everything that
// it calls, belong to one goroutine.
type Virtual struct {
	o     VirtualOptions
	now   time.Time
	seq   uint64
	queue eventQueue
	work  int // inputs and calls in the queue; timers alone do not keep Run going
	rand  *rand.PCG

	stepping bool // an event is being handled
}

// NewVirtual returns a Virtual runtime at its start time.
func NewVirtual(o VirtualOptions) *Virtual {
	if o.Start.IsZero() {
		o.Start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return &Virtual{o: o, now: o.Start, rand: rand.NewPCG(o.Seed, 0x9e3779b97f4a7c15)}
}

// Now is the virtual time.
func (v *Virtual) Now() time.Time { return v.now }

// Rand is the next number of the seeded source.
func (v *Virtual) Rand() uint64 { return v.rand.Uint64() }

// At calls f at virtual time t, in order of (time, order of the At calls). A
// time in the past means now.
func (v *Virtual) At(t time.Time, f func()) Timer { return v.push(t, false, f) }

// Input is At for something from outside: Run goes on until it has happened.
func (v *Virtual) Input(t time.Time, f func()) { v.push(t, true, f) }

// Start runs call.Do and done after the time that the cost model gives.
func (v *Virtual) Start(call Call, done func(Result)) {
	var took time.Duration
	if v.o.Cost != nil {
		took = v.o.Cost(call)
	}
	v.push(v.now.Add(took), true, func() {
		err := call.Do(v.context())
		if err == nil && !call.Deadline.IsZero() && v.now.After(call.Deadline) {
			err = context.DeadlineExceeded
		}
		done(Result{Err: err, Took: took})
	})
}

// context is that of modelled calls, which never block.
func (v *Virtual) context() context.Context {
	return context.Background() //nolint:forbidigo // a modelled call has no caller
}

// Step handles the next event, timers included, and reports whether there was one.
func (v *Virtual) Step() bool {
	if len(v.queue) == 0 {
		return false
	}
	e := heap.Pop(&v.queue).(*virtualEvent)
	if e.at.After(v.now) {
		v.now = e.at
	}
	if e.work {
		v.work--
	}
	v.handle(e)
	return true
}

func (v *Virtual) handle(e *virtualEvent) {
	v.stepping = true
	defer func() { v.stepping = false }()
	e.f()
	if v.o.After != nil {
		v.o.After(v.now)
	}
}

// Wait handles events until one of them has woken the caller. An event that is
// due at until is still handled.
func (v *Virtual) Wait(ctx context.Context, woken <-chan struct{}, until time.Time) bool {
	if v.stepping {
		panic("runtime: a callback of virtual time waits")
	}
	for {
		select {
		case <-woken:
			return true
		default:
		}
		switch {
		case ctx.Err() != nil:
			return false
		case len(v.queue) == 0 || v.queue[0].at.After(until):
			if until.After(v.now) {
				v.now = until
			}
			return false
		}
		v.Step()
	}
}

// Due reports whether an event waits that is due now.
func (v *Virtual) Due() bool { return len(v.queue) > 0 && !v.queue[0].at.After(v.now) }

// Run steps until no input and no call is outstanding.
func (v *Virtual) Run() {
	for v.work > 0 {
		v.Step()
	}
}

// RunUntil handles everything due at or before t and moves the time to t.
func (v *Virtual) RunUntil(t time.Time) {
	for len(v.queue) > 0 && !v.queue[0].at.After(t) {
		v.Step()
	}
	if t.After(v.now) {
		v.now = t
	}
}

func (v *Virtual) push(t time.Time, work bool, f func()) *virtualEvent {
	if t.Before(v.now) {
		t = v.now
	}
	v.seq++
	e := &virtualEvent{v: v, at: t, seq: v.seq, work: work, f: f}
	if work {
		v.work++
	}
	heap.Push(&v.queue, e)
	return e
}

type virtualEvent struct {
	v    *Virtual
	at   time.Time
	seq  uint64
	pos  int // in the queue; -1: no longer there
	work bool
	f    func()
}

// Stop takes the event out of the queue.
func (e *virtualEvent) Stop() bool {
	if e.pos < 0 {
		return false
	}
	heap.Remove(&e.v.queue, e.pos)
	if e.work {
		e.v.work--
	}
	return true
}

type eventQueue []*virtualEvent

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	if c := q[i].at.Compare(q[j].at); c != 0 {
		return c < 0
	}
	return q[i].seq < q[j].seq
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i]; q[i].pos, q[j].pos = i, j }
func (q *eventQueue) Push(x any) {
	e := x.(*virtualEvent)
	e.pos = len(*q)
	*q = append(*q, e)
}

func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	e.pos = -1
	return e
}
