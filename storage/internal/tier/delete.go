package tier

import (
	"context"
	"log/slog"
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

// eraseLocked begins the next deletion, if none is under way.
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
	freed := make([]int64, len(d.keys)) // what the adapter writes, perhaps after it was given up
	c := &call{op: opDelete, keys: len(d.keys), deadline: now.Add(t.s.Timeouts.Delete)}
	c.do = func(ctx context.Context) error { return t.erase(ctx, d, freed) }
	c.done = func(err error) {
		t.mu.erasing = false
		t.mu.breaker.outcome(t, c.round, err, nil, t.rt.Now())
		t.erasedLocked(d, freed, err)
	}
	c.lost = func() {
		t.mu.erasing = false
		t.erasedLocked(d, nil, l2.ErrTimeout)
	}
	c.back = func() {}
	t.startLocked(c, now)
}

// erase is the call, without the mutex. Keys that must stay are left out.
func (t *Tier) erase(ctx context.Context, d *deletion, freed []int64) error {
	var keys []kv.Key
	var at []int
	for i, k := range d.keys {
		if d.freed[i] < 0 {
			freed[i] = -1
			continue
		}
		keys, at = append(keys, k), append(at, i)
	}
	if q, ok := l2.AbilityOf[l2.Quarantiner](t.adapter); ok && d.put {
		for n, k := range keys {
			got, err := q.Quarantine(ctx, k)
			if freed[at[n]] = got; err != nil {
				freed[at[n]] = -1
			}
		}
		return nil
	}
	for len(keys) > 0 {
		n := min(len(keys), maxDelete)
		part := make([]int64, n)
		if err := t.adapter.Delete(ctx, keys[:n], part); err != nil {
			return err
		}
		for i := range part {
			freed[at[i]] = part[i]
		}
		keys, at = keys[n:], at[n:]
	}
	return nil
}

// erasedLocked takes over what a deletion did.
func (t *Tier) erasedLocked(d *deletion, freed []int64, err error) {
	now := t.rt.Now()
	if err != nil {
		t.failedLocked(reasonOf(err), int64(len(d.keys)))
		t.mu.full = d.cause == CauseEvict
		t.abandonLocked(d, err)
		return
	}
	x := &t.mu.index
	var keys []kv.Key
	var sizes []int64
	total := int64(0)
	for i, k := range d.ids {
		e := x.at(k.id)
		if k.id == 0 || e.gen != k.gen || !e.erasing {
			continue
		}
		if freed[i] < 0 {
			x.keep(k.id, now)
			continue
		}
		keys, sizes = append(keys, e.key), append(sizes, e.size)
		total += e.size
		if freed[i] == 0 {
			freed[i] = e.size
		}
		x.remove(k.id)
	}
	t.mu.full = d.cause == CauseEvict && len(keys) == 0
	if len(keys) > 0 {
		t.o.Sink.Deleted(keys, sizes, d.cause, now)
		if d.cause == CauseEvict {
			t.mu.counts.evicted += int64(len(keys))
			t.o.Sink.Evicted(keys, total, now)
		}
	}
	if d.done != nil {
		t.later(func() { d.done(freed, nil) })
	}
}

// corruptLocked notes that an object failed verification, and gets it out of the
// way.
func (t *Tier) corruptLocked(o *Object, err error, now time.Time) {
	check := strings.TrimPrefix(err.Error(), l2.ErrCorrupt.Error()+": ")
	t.mu.counts.corrupt++
	t.o.Sink.Corrupt(keysOf(o.Key), check, now)
	key := o.Key
	t.later(func() {
		t.log.Error("an object of a tier is damaged; it is a miss", slog.String("key", key.String()), slog.String("check", check))
	})
	t.deleteLocked(&deletion{keys: keysOf(o.Key), cause: CauseCorrupt, force: true, put: true})
}
