package tier

import (
	"context"
	"slices"
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

// Lookup is one question which of some keys a tier has.
type Lookup struct {
	keys     []kv.Key
	layout   kv.Layout
	deadline time.Time
	answer   func(Answer)
	found    []l2.Found

	// Guarded by the tier's mutex.
	dropped bool
	asked   uint64              // when, as removals count
	removed map[kv.Key]struct{} // since then; nil: it was of no interest so far
	called  bool                // the answer is given, or about to be
	pins    *Pins               // of that answer
}

// NewLookup makes a question. The keys must not change. done is called once it was asked,
// once, not before the tier's mutex is free; it may be before Ask returns. It is never
// called if the lookup is dropped before the store is asked.
func NewLookup(keys []kv.Key, layout kv.Layout, deadline time.Time, done func(Answer)) *Lookup {
	return &Lookup{keys: keys, layout: layout, deadline: deadline, answer: done}
}

// Ask asks which of the keys the tier has, and pins them. The store is not asked what
// nobody wants to know any more.
func (t *Tier) Ask(l *Lookup) {
	t.lock()
	defer t.unlock()
	switch {
	case l.dropped:
	case t.mu.stopped:
		t.tellLocked(l, Answer{Err: l2.ErrClosed})
	case t.mu.breaker.state != StateClosed:
		t.tellLocked(l, Answer{Err: ErrOpen})
	case t.mu.asking >= maxLookups:
		t.mu.lookups = append(t.mu.lookups, l)
	default:
		t.askLocked(l, t.rt.Now())
	}
}

// Drop says that nobody wants the answer any more: whether it has come or not, once Drop
// returns it holds no pins. A lookup that still waits leaves the queue, so that those
// behind it do not wait for it. It calls nothing back, so that its caller may hold locks
// of its own; the Release of the answer's pins, if it has some, comes after it.
func (t *Tier) Drop(l *Lookup) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.dropped = true
	if at := slices.Index(t.mu.lookups, l); at >= 0 {
		t.mu.lookups = slices.Delete(t.mu.lookups, at, at+1)
	}
	if l.pins != nil {
		t.unpinLocked(l.pins)
	}
}

func (t *Tier) tellLocked(l *Lookup, a Answer) {
	if !l.called {
		l.called, l.pins = true, a.Pins
		t.later(func() { l.answer(a) })
	}
}

// askLocked asks the store, unless the deadline of those who wait is over: they hear of
// that, and the breaker does not.
func (t *Tier) askLocked(l *Lookup, now time.Time) {
	if over(l.deadline, now) {
		t.tellLocked(l, Answer{Err: l2.ErrTimeout})
		return
	}
	t.mu.asking++
	l.asked = t.mu.removed.begin()
	l.found = make([]l2.Found, len(l.keys))
	c := &call{op: opLookup, keys: len(l.keys), deadline: now.Add(t.s.Timeouts.Lookup)}
	c.hurry(l.deadline)
	began := now
	c.do = func(ctx context.Context) error { return t.adapter.Lookup(ctx, l.keys, l.found) }
	c.done = func(err error) {
		t.mu.asking--
		t.answeredLocked(c, l, err, began)
		t.mu.removed.end(l.asked)
		t.nextLookupLocked()
	}
	c.lost = func() {
		t.mu.asking--
		t.mu.removed.end(l.asked)
		t.failedLocked(l2.ReasonTimeout, 1)
		t.tellLocked(l, Answer{Err: l2.ErrTimeout})
		t.nextLookupLocked()
	}
	c.back = func() {}
	t.startLocked(c, now)
}

func (t *Tier) nextLookupLocked() {
	for len(t.mu.lookups) > 0 && t.mu.asking < maxLookups {
		l := t.mu.lookups[0]
		t.mu.lookups = t.mu.lookups[1:]
		t.askLocked(l, t.rt.Now())
	}
}

// answeredLocked takes the adapter's answer over.
func (t *Tier) answeredLocked(c *call, l *Lookup, err error, began time.Time) {
	now := t.rt.Now()
	if err != nil {
		t.unansweredLocked(err, now)
		t.heardLocked(c, err, nil, now)
		t.tellLocked(l, Answer{Err: err})
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
			if id != 0 && t.mu.index.at(id).since.Before(began) {
				t.forgetLocked(l.keys[i], CauseDelete, now)
			}
			continue
		}
		if t.leavingLocked(l.keys[i], id) || id == 0 && t.removedSinceLocked(l, l.keys[i]) { // it may have been deleted since
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
	if !l.dropped {
		a.Pins = t.pinLocked(ids, now)
	}
	t.tellLocked(l, a)
}

// removedSinceLocked reports whether a key was removed since a lookup under way has begun.
func (t *Tier) removedSinceLocked(l *Lookup, k kv.Key) bool {
	if l.removed == nil {
		l.removed = t.mu.removed.since(l.asked)
	}
	_, ok := l.removed[k]
	return ok
}

// unansweredLocked counts a question that the store did not answer.
func (t *Tier) unansweredLocked(err error, now time.Time) {
	why := l2.ReasonOf(err)
	t.failedLocked(why, 1)
	if why.Transient() {
		t.mu.counts.lastFailure = now
	}
}
