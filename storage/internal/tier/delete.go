package tier

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// deletion is keys that wait to be deleted, or are being deleted.
type deletion struct {
	keys  []kv.Key
	ids   []pinned // of those that the index knows; 0: it does not
	cause Cause
	force bool // whatever is pinned
	put   bool // the adapter puts it aside instead, if it can
	next  int  // how many have been dealt with

	tenant  uint32 // of an eviction for a quota: whose; 0: for the tier
	removed int    // how many have been removed

	freed []int64
	done  func(freed []int64, err error) // without the mutex; may be nil
}

// Delete removes keys that are not pinned. done gets what each freed, -1 for those
// that stay. It is called without the mutex, perhaps before Delete returns.
func (t *Tier) Delete(keys []kv.Key, done func(freed []int64, err error)) {
	t.lock()
	defer t.unlock()
	if len(keys) == 0 {
		t.later(func() { done(nil, nil) })
		return
	}
	t.deleteLocked(&deletion{keys: keys, cause: CauseDelete, done: done})
}

// deleteLocked queues a deletion, without what is pinned or being deleted already.
func (t *Tier) deleteLocked(d *deletion) {
	now := t.rt.Now()
	t.expireLocked(now)
	if t.mu.stopped || t.mu.breaker.state != StateClosed {
		err := ErrOpen
		if t.mu.stopped {
			err = l2.ErrClosed
		}
		t.abandonLocked(d, err)
		return
	}
	x := &t.mu.index
	d.ids = make([]pinned, len(d.keys))
	d.freed = make([]int64, len(d.keys))
	for i, k := range d.keys {
		id := x.find(k)
		if id == 0 {
			t.goneLocked(k)
			continue
		}
		e := x.at(id)
		if e.erasing || e.pins > 0 && !d.force {
			d.freed[i] = -1
			continue
		}
		d.ids[i] = pinned{id, e.gen}
		x.erase(id)
	}
	t.mu.deletes = append(t.mu.deletes, d)
	t.eraseLocked(now)
}

// abandonLocked ends a deletion that did not take place.
func (t *Tier) abandonLocked(d *deletion, err error) {
	now := t.rt.Now()
	for _, k := range d.ids {
		if e := t.mu.index.at(k.id); k.id != 0 && e.gen == k.gen && e.erasing {
			t.mu.index.keep(k.id, now)
		}
	}
	if d.done != nil {
		t.later(func() { d.done(nil, err) })
	}
}

// eraseLocked begins the next deletion, if none is under way, or its next part: each
// has a time of its own.
func (t *Tier) eraseLocked(now time.Time) {
	if t.mu.erasing || len(t.mu.deletes) == 0 {
		return
	}
	d := t.mu.deletes[0]
	t.mu.deletes = t.mu.deletes[1:]
	t.mu.erasing = true
	if d.freed == nil {
		d.freed = make([]int64, len(d.keys))
	}
	n := min(len(d.keys)-d.next, maxDelete)
	freed := slices.Clone(d.freed[d.next : d.next+n]) // what the adapter writes, perhaps after it was given up
	keys := d.keys[d.next : d.next+n]
	c := &call{op: opDelete, keys: n, deadline: now.Add(t.s.Timeouts.Delete)}
	c.do = func(ctx context.Context) error { return t.erase(ctx, keys, d.put, freed) }
	c.done = func(err error) {
		t.mu.breaker.outcome(t, c.round, err, nil, t.rt.Now())
		t.erasedLocked(d, freed, err)
	}
	c.lost = func() { t.erasedLocked(d, nil, l2.ErrTimeout) }
	c.back = func() {}
	t.startLocked(c, now)
}

// erase is the call, without the mutex. Keys that must stay are left out.
func (t *Tier) erase(ctx context.Context, all []kv.Key, put bool, freed []int64) error {
	var keys []kv.Key
	var at []int
	for i, k := range all {
		if freed[i] == 0 {
			keys, at = append(keys, k), append(at, i)
		}
	}
	if q, ok := l2.AbilityOf[l2.Quarantiner](t.adapter); ok && put {
		for n, k := range keys {
			got, err := q.Quarantine(ctx, k)
			if freed[at[n]] = got; err != nil {
				freed[at[n]] = -1
			}
		}
		return nil
	}
	if len(keys) == 0 {
		return nil
	}
	part := make([]int64, len(keys))
	if err := t.adapter.Delete(ctx, keys, part); err != nil {
		return err
	}
	for i := range part {
		freed[at[i]] = part[i]
	}
	return nil
}

// erasedLocked takes over what a part of a deletion did.
func (t *Tier) erasedLocked(d *deletion, freed []int64, err error) {
	t.mu.erasing = false
	if err != nil {
		t.failedLocked(reasonOf(err), int64(len(d.keys)-d.next))
		t.mu.full = d.cause == CauseEvict
		t.abandonLocked(d, err)
		t.evictedLocked(d, err)
		return
	}
	t.removedLocked(d, freed)
	switch d.next += len(freed); {
	case d.next == len(d.keys):
		t.evictedLocked(d, nil)
		if d.done != nil {
			t.later(func() { d.done(d.freed, nil) })
		}
	case t.mu.stopped:
		t.abandonLocked(d, l2.ErrClosed)
	case t.mu.breaker.state != StateClosed:
		t.abandonLocked(d, ErrOpen)
	default:
		t.mu.deletes = slices.Insert(t.mu.deletes, 0, d)
	}
}

// removedLocked forgets what a part of a deletion has removed.
func (t *Tier) removedLocked(d *deletion, freed []int64) {
	x, now := &t.mu.index, t.rt.Now()
	var keys []kv.Key
	var sizes []int64
	total, kept := int64(0), int64(0)
	for i := range freed {
		d.freed[d.next+i] = freed[i]
		k := d.ids[d.next+i]
		e := x.at(k.id)
		if k.id == 0 || e.gen != k.gen || !e.erasing {
			continue
		}
		if freed[i] < 0 {
			x.keep(k.id, now)
			kept++
			continue
		}
		if freed[i] == 0 {
			d.freed[d.next+i] = e.size
		}
		keys, sizes = append(keys, e.key), append(sizes, e.size)
		total += e.size
		t.goneLocked(e.key)
		t.awakeLocked(e.salt)
		x.remove(k.id)
	}
	d.removed += len(keys)
	if d.cause == CauseEvict && kept > 0 {
		t.failedLocked(l2.ReasonIO, kept)
	}
	t.mu.full = d.cause == CauseEvict && len(keys) == 0
	if len(keys) == 0 {
		return
	}
	t.o.Sink.Deleted(keys, sizes, d.cause, now)
	if d.cause == CauseEvict {
		t.mu.counts.evicted += int64(len(keys))
		t.o.Sink.Evicted(keys, total, now)
	}
}

// corruptLocked notes that an object failed verification, and gets it out of the
// way.
func (t *Tier) corruptLocked(o *Object, err error, now time.Time) {
	check := strings.TrimPrefix(err.Error(), l2.ErrCorrupt.Error()+": ")
	t.mu.counts.corrupt++
	t.o.Sink.Corrupt(keysOf(o.Key), check, now)
	key := o.Key
	t.say(func() {
		t.log.Error("an object of a tier is damaged; it is a miss", slog.String("key", key.String()), slog.String("check", check))
	})
	t.deleteLocked(&deletion{keys: keysOf(o.Key), cause: CauseCorrupt, force: true, put: true})
}
