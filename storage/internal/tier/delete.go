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

// deletion is keys that wait to be deleted, or are being deleted. Of those that have not
// been dealt with, and do not stay, it has marked the entries; except in an eviction, which
// is of entries and nothing else, the keys are doomed as well.
type deletion struct {
	keys  []kv.Key
	ids   []pinned // of those that the index knows; 0: it does not; nil: it has not begun
	cause Cause
	force bool // whatever is pinned
	put   bool // the adapter puts it aside instead, if it can
	next  int  // how many have been dealt with

	tenant  uint32 // of an eviction for a quota: whose; 0: for the tier
	removed int    // how many have been removed; of an eviction by others too

	freed []int64
	done  func(freed []int64, err error) // without the mutex; may be nil
}

func (d *deletion) evicts() bool { return d.cause == CauseEvict }

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

// deleteLocked queues a deletion, without what is pinned.
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
	d.ids = make([]pinned, len(d.keys))
	d.freed = make([]int64, len(d.keys))
	for i, k := range d.keys {
		t.doomLocked(k)
		t.claimLocked(d, i, now)
	}
	t.mu.deletes = append(t.mu.deletes, d)
	t.eraseLocked(now)
}

// claimLocked marks the entry of a doomed key, if there is one. One that is pinned stays.
func (t *Tier) claimLocked(d *deletion, i int, now time.Time) {
	x := &t.mu.index
	id := x.find(d.keys[i])
	if id == 0 {
		return
	}
	e := x.at(id)
	if e.pins > 0 && !d.force {
		d.freed[i] = -1
		t.spareLocked(d.keys[i], false, now)
		return
	}
	d.ids[i] = pinned{id, e.gen}
	x.erase(id)
}

// claimsLocked is the entry that a deletion has marked for a key, or nil: another
// deletion may have removed it since.
func (t *Tier) claimsLocked(k pinned) *entry {
	if e := t.mu.index.at(k.id); k.id != 0 && e.gen == k.gen {
		return e
	}
	return nil
}

// abandonLocked ends a deletion the rest of which did not take place.
func (t *Tier) abandonLocked(d *deletion, err error) {
	now := t.rt.Now()
	for i := d.next; i < len(d.ids); i++ {
		if t.claimsLocked(d.ids[i]) != nil {
			t.mu.index.keep(d.ids[i].id, now)
		}
		if !d.evicts() && d.freed[i] == 0 {
			t.spareLocked(d.keys[i], false, now)
		}
	}
	t.resumeLocked(d.keys[d.next:])
	if d.done != nil {
		t.later(func() { d.done(nil, err) })
	}
}

// part is the keys that the next call of a deletion is about: [d.next, end).
func (d *deletion) part() (end int) { return min(len(d.keys), d.next+maxDelete) }

// readyLocked reports whether the next part of a deletion can begin: none of its keys is
// being stored. None is from then on, until it is over.
func (t *Tier) readyLocked(d *deletion) bool {
	if len(t.mu.writing) == 0 {
		return true
	}
	for _, k := range d.keys[d.next:d.part()] {
		if t.mu.writing[k] > 0 {
			return false
		}
	}
	return true
}

// eraseLocked begins the next part of the first deletion that can go on, if none is
// under way. Each part has a time of its own.
func (t *Tier) eraseLocked(now time.Time) {
	if t.mu.erasing {
		return
	}
	at := slices.IndexFunc(t.mu.deletes, t.readyLocked)
	if at < 0 {
		return
	}
	d := t.mu.deletes[at]
	t.mu.deletes = slices.Delete(t.mu.deletes, at, at+1)
	t.mu.erasing = true
	if d.freed == nil {
		d.freed = make([]int64, len(d.keys))
	}
	t.resolveLocked(d, now)
	n := d.part() - d.next
	freed := slices.Clone(d.freed[d.next : d.next+n]) // what the adapter writes, perhaps after it was given up
	keys := d.keys[d.next : d.next+n]
	c := &call{op: opDelete, keys: n, deadline: now.Add(t.s.Timeouts.Delete)}
	c.do = func(ctx context.Context) error { return t.erase(ctx, keys, d.put, freed) }
	c.done = func(err error) {
		t.heardLocked(c, err, nil, t.rt.Now())
		t.erasedLocked(d, freed, err)
	}
	c.lost = func() { t.erasedLocked(d, nil, l2.ErrTimeout) }
	c.back = func() {}
	t.startLocked(c, now)
}

// resolveLocked looks at the entries of a part again: what was being stored is known
// now, and other deletions have removed some. That is all that an eviction wanted.
func (t *Tier) resolveLocked(d *deletion, now time.Time) {
	for i := d.next; i < d.part(); i++ {
		switch {
		case d.freed[i] < 0 || t.claimsLocked(d.ids[i]) != nil:
		case d.evicts():
			d.freed[i] = -1
			d.removed++
		default:
			t.claimLocked(d, i, now)
		}
	}
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
		t.mu.full = d.evicts()
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
		t.mu.deletes = append(t.mu.deletes, d) // others have waited
	}
}

// removedLocked forgets what a part of a deletion has removed.
func (t *Tier) removedLocked(d *deletion, freed []int64) {
	x, now := &t.mu.index, t.rt.Now()
	var keys []kv.Key
	var sizes []int64
	total, kept := int64(0), int64(0)
	for i := range freed {
		at := d.next + i
		k, doomed := d.ids[at], !d.evicts() && d.freed[at] == 0
		d.freed[at] = freed[i]
		switch e := t.claimsLocked(k); {
		case e == nil:
		case freed[i] < 0:
			kept++
			x.keep(k.id, now)
		default:
			if freed[i] == 0 {
				d.freed[at] = e.size
			}
			keys, sizes = append(keys, e.key), append(sizes, e.size)
			total += e.size
			if !doomed {
				t.goneLocked(e.key)
			}
			t.awakeLocked(e.salt)
			x.remove(k.id)
		}
		if doomed {
			t.spareLocked(d.keys[at], freed[i] >= 0, now)
		}
	}
	d.removed += len(keys)
	if d.evicts() && kept > 0 {
		t.failedLocked(l2.ReasonIO, kept)
	}
	t.mu.freed += total
	t.resumeLocked(d.keys[d.next : d.next+len(freed)])
	t.mu.full = d.evicts() && len(keys) == 0 && kept > 0
	if len(keys) == 0 {
		return
	}
	t.o.Sink.Deleted(keys, sizes, d.cause, now)
	if d.evicts() {
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
