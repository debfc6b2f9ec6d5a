package tier

import (
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Object is one object of a Job.
type Object struct {
	Key    kv.Key
	Layout kv.Layout
	Data   []byte // logical length, physical capacity; nil where objects have no bytes
	After  kv.Key // the chunk before in the prompt; zero: not known
	Sum    *Sum   // of a store: remembers the checksum for other tiers; may be nil

	// What became of it, to be read in Done, and once Settled names it.
	N     int64 // bytes of payload that were moved
	Err   error // nil: it is stored, or loaded and verified
	Late  int   // calls that were given up and still have the buffer
	Slow  bool  // of a store: a call timed out
	size  int64 // of a store: what it is expected to take; an upper bound with a serde
	state objectState
	tries int
	asked bool      // it waits for room under the tier's own bound
	short *shortage // the store was full; nil: it was not
}

type objectState uint8

const (
	objectWaiting objectState = iota
	objectRunning
	objectDone
)

// Job is a batch of loads or stores of one tier.
type Job struct {
	Objects  []Object
	Deadline time.Time // of a load, after which nobody waits for it; zero: none

	// Done is called once, when every object has its outcome. Returned is called once
	// after it if objects were Late, when no call has a buffer any more.
	Done     func(*Job)
	Returned func(*Job)

	Began    time.Time // when the first call began; zero: none did
	Attempts int       // most calls that one object took
	Moved    int64     // bytes of payload that were moved, in all

	store  bool
	todo   []int // objects that wait, in order
	queued bool
	open   int // objects without an outcome
	late   int // calls that were given up and have not returned
	closed bool
}

// Settled lists the objects of a job that have their outcome so far. The job may be on its
// way to the tier: then there are none.
func (t *Tier) Settled(j *Job) (list []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range j.Objects {
		if j.Objects[i].state == objectDone {
			list = append(list, i)
		}
	}
	return list
}

// settleLocked gives an object its outcome. The job's end is told with the others
// that wait for the mutex to be free.
func (t *Tier) settleLocked(j *Job, i int, err error) {
	o := &j.Objects[i]
	if o.state == objectDone {
		return
	}
	o.state, o.Err = objectDone, err
	switch {
	case err == nil:
		t.mu.counts.lastSuccess = t.rt.Now()
	case j.store && err == ErrOpen: //nolint:errorlint // it is returned as it is
		// It has not failed: it waits until the tier is back.
	default:
		why := reasonOf(err)
		t.failedLocked(why, 1)
		if why.Transient() && o.tries > 0 {
			t.mu.counts.lastFailure = t.rt.Now()
		}
	}
	if j.open--; j.open == 0 {
		j.closed = true
		t.orderLocked(j)
		t.later(func() { j.Done(j) })
		t.returnLocked(j)
	}
}

// orderLocked makes the objects of a job the most recently used, the first of the
// prompt last, and links them.
func (t *Tier) orderLocked(j *Job) {
	now := t.rt.Now()
	for i := len(j.Objects) - 1; i >= 0; i-- {
		o := &j.Objects[i]
		if id := t.mu.index.find(o.Key); id != 0 && o.Err == nil {
			t.mu.index.touch(id, now)
			t.linkLocked(o.After, o.Key)
		}
	}
}

// returnLocked tells of a closed job's late buffers when the last has come back.
func (t *Tier) returnLocked(j *Job) {
	if j.closed && j.late == 0 && j.Returned != nil && j.anyLate() {
		back := j.Returned
		j.Returned = nil
		t.later(func() { back(j) })
	}
}

func (j *Job) anyLate() bool {
	for i := range j.Objects {
		if j.Objects[i].Late > 0 {
			return true
		}
	}
	return false
}

// reasonOf is the reason as counters spell it.
func reasonOf(err error) l2.Reason {
	if err == ErrOpen { //nolint:errorlint // it is returned as it is
		return reasonOpen
	}
	return l2.ReasonOf(err)
}

const reasonOpen l2.Reason = "adapter_open"
