package tier

import (
	"context"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Answer is what a tier says to a lookup.
type Answer struct {
	Found []bool // by key; nil: nothing
	Pins  *Pins  // on what was found; to be given back
	Err   error  // why the store did not say of all keys, or of any, whether it has them
}

// lookupJob is one lookup.
type lookupJob struct {
	keys     []kv.Key
	layout   kv.Layout
	deadline time.Time
	answer   func(Answer)
	found    []l2.Found
	called   bool // the answer was given
}

// Lookup asks which of the keys the tier has, and pins them. The keys must not
// change. done is called once, not before the tier's mutex is free; it may be before
// Lookup returns.
func (t *Tier) Lookup(keys []kv.Key, layout kv.Layout, deadline time.Time, done func(Answer)) {
	t.lock()
	defer t.unlock()
	l := &lookupJob{keys: keys, layout: layout, deadline: deadline, answer: done}
	switch {
	case t.mu.stopped:
		t.later(func() { l.done(Answer{Err: l2.ErrClosed}) })
	case t.mu.breaker.state != StateClosed:
		t.later(func() { l.done(Answer{Err: ErrOpen}) })
	case t.mu.asking >= maxLookups:
		t.mu.lookups = append(t.mu.lookups, l)
	default:
		t.askLocked(l, t.rt.Now())
	}
}

func (l *lookupJob) done(a Answer) {
	if !l.called {
		l.called = true
		l.answer(a)
	}
}

func (t *Tier) askLocked(l *lookupJob, now time.Time) {
	t.mu.asking++
	l.found = make([]l2.Found, len(l.keys))
	c := &call{op: opLookup, keys: len(l.keys), deadline: now.Add(t.s.Timeouts.Lookup)}
	if end := l.deadline.Add(drain); !l.deadline.IsZero() && end.Before(c.deadline) {
		c.deadline = end // not sooner: a prefetch in a hurry says nothing about the store
	}
	began := now
	c.do = func(ctx context.Context) error { return t.adapter.Lookup(ctx, l.keys, l.found) }
	c.done = func(err error) {
		t.mu.asking--
		t.answeredLocked(c, l, err, began)
		t.nextLookupLocked()
	}
	c.lost = func() {
		t.mu.asking--
		t.failedLocked(l2.ReasonTimeout, 1)
		t.later(func() { l.done(Answer{Err: l2.ErrTimeout}) })
		t.nextLookupLocked()
	}
	c.back = func() {}
	t.startLocked(c, now)
}

func (t *Tier) nextLookupLocked() {
	if len(t.mu.lookups) > 0 && t.mu.asking < maxLookups {
		l := t.mu.lookups[0]
		t.mu.lookups = t.mu.lookups[1:]
		t.askLocked(l, t.rt.Now())
	}
}

// answeredLocked takes the adapter's answer over.
func (t *Tier) answeredLocked(c *call, l *lookupJob, err error, began time.Time) {
	now := t.rt.Now()
	if err != nil {
		t.unansweredLocked(err, now)
		t.mu.breaker.outcome(t, c.round, err, nil, now)
		t.later(func() { l.done(Answer{Err: err}) })
		return
	}
	a := Answer{Found: make([]bool, len(l.keys))}
	asked := false // an adapter remembers what it has, not what it does not have
	ids := make([]uint32, 0, len(l.keys))
	for i := len(l.keys) - 1; i >= 0; i-- {
		id := t.mu.index.find(l.keys[i])
		if err := l.found[i].Err; err != nil { // it may be there
			t.unansweredLocked(err, now)
			a.Err = err
			continue
		}
		if !l.found[i].OK {
			asked = true
			if id != 0 && !t.mu.index.at(id).since.After(began) {
				t.forgetLocked(l.keys[i], CauseDelete, now)
			}
			continue
		}
		if id != 0 && t.mu.index.at(id).erasing {
			continue
		}
		if id == 0 {
			size := l.found[i].Size
			if size <= 0 {
				size = t.StoredSize(l.keys[i], l.layout)
			}
			id = t.addLocked(l.keys[i], size, now, false)
		} else {
			t.mu.index.touch(id, now)
		}
		a.Found[i] = true
		ids = append(ids, id)
	}
	Chain(l.keys, func(i int, prev kv.Key) {
		if a.Found[i] {
			t.linkLocked(prev, l.keys[i])
		}
	})
	if asked {
		t.mu.breaker.success(t, c.round, now)
	}
	a.Pins = t.pinLocked(ids, now)
	t.later(func() { l.done(a) })
}

// unansweredLocked counts a question that the store did not answer.
func (t *Tier) unansweredLocked(err error, now time.Time) {
	why := l2.ReasonOf(err)
	t.failedLocked(why, 1)
	if why.Transient() {
		t.mu.counts.lastFailure = now
	}
}
