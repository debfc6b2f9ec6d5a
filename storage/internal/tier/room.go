package tier

import (
	"fmt"
	"time"

	"github.com/lmcache-go/lmcache/l1/policy"
	"github.com/lmcache-go/lmcache/l2"
)

// measure says what the objects of a store are expected to take, which is an upper bound
// with a serde. Where that does not say, the object has failed. It runs without the mutex.
func (t *Tier) measure(j *Job) {
	for i := range j.Objects {
		o := &j.Objects[i]
		payload := o.Layout.Size()
		if t.serde != nil {
			payload, o.Err = t.serde.bound(o.Layout)
		}
		o.size = t.format.StoredSize(t.format.HeadLen(o.Key, t.serdeName()), payload)
	}
}

// boundLocked is how many bytes the tier may hold; negative: no limit.
func (t *Tier) boundLocked() int64 {
	bound := t.mu.limit
	if c := t.s.Capacity; c > 0 && (bound < 0 || c < bound) {
		bound = c
	}
	return bound
}

// admitLocked takes the objects of the next call of a store: those for which there
// is room. What is stored already is done at once, and what will never fit fails. An
// empty list means that the job waits for room, or that nothing of it is left.
func (t *Tier) admitLocked(j *Job, now time.Time) (list []int) {
	n := t.share(len(j.todo))
	for len(list) < n && len(j.todo) > 0 {
		i := j.todo[0]
		o := &j.Objects[i]
		size := o.size
		bound := t.boundLocked()
		switch id := t.mu.index.find(o.Key); {
		case o.Err != nil:
			j.todo = j.todo[1:]
			t.settleLocked(j, i, o.Err)
			continue
		case t.leavingLocked(o.Key, id): // then it can be stored
			j.todo = j.todo[1:]
			t.asideLocked(j, i)
			continue
		case id != 0 && (t.serde != nil || t.mu.index.at(id).size == size):
			j.todo = j.todo[1:]
			t.mu.index.touch(id, now)
			t.mu.index.at(id).own = true
			t.settleLocked(j, i, nil)
			continue
		case t.s.Capacity > 0 && size > t.s.Capacity:
			j.todo = j.todo[1:]
			t.settleLocked(j, i, fmt.Errorf("%w: %d bytes, the capacity is %d", l2.ErrTooLarge, size, t.s.Capacity))
			continue
		case bound >= 0 && size > bound:
			j.todo = j.todo[1:]
			t.relearnLocked(now)
			t.settleLocked(j, i, fmt.Errorf("%w: %d bytes, the store may hold %d", l2.ErrNoSpace, size, bound))
			continue
		case o.short.on() && !t.grantedLocked(o.short, size, now):
			if o.short.on() {
				return list
			}
			j.todo = j.todo[1:]
			t.settleLocked(j, i, fmt.Errorf("%w: nothing of what was to be evicted could be deleted", l2.ErrNoSpace))
			continue
		case bound >= 0 && t.mu.index.bytes+t.mu.index.reserved+size > bound:
			full := o.asked && t.mu.full
			if full || !t.makeRoomLocked(t.mu.index.bytes+t.mu.index.reserved+size-bound, now) {
				if full || t.mu.index.reserved == 0 {
					t.mu.full = false
					j.todo = j.todo[1:]
					t.relearnLocked(now)
					t.settleLocked(j, i, fmt.Errorf("%w: %d bytes of %d are in use, and nothing can be evicted", l2.ErrNoSpace, t.mu.index.bytes, bound))
					continue
				}
			}
			o.asked, t.mu.full = true, false
			return list
		}
		j.todo = j.todo[1:]
		t.mu.index.reserved += size
		list = append(list, i)
	}
	return list
}

// unreserveLocked ends the reservation of a store.
func (t *Tier) unreserveLocked(o *Object) { t.mu.index.reserved -= o.size }

// makeRoomLocked evicts until need bytes will be free, counting what is being
// deleted. It reports whether there is something to wait for.
func (t *Tier) makeRoomLocked(need int64, now time.Time) bool {
	if e := t.s.Eviction; e != nil && e.Policy == l2.PolicyNoop {
		return t.mu.index.erasing > 0
	}
	if left := need - t.mu.index.erasing; left > 0 {
		t.evictLocked(policy.Need{Bytes: left}, func(size int64) bool {
			more := left > 0
			left -= size
			return more
		}, now)
	}
	return t.mu.index.erasing > 0
}

// evictLocked deletes victims, each with the other ranks of its chunk, as long as wants
// agrees to what the next ones take.
func (t *Tier) evictLocked(need policy.Need, wants func(size int64) bool, now time.Time) {
	t.expireLocked(now)
	x := &t.mu.index
	d := &deletion{cause: CauseEvict, tenant: need.Salt}
	for id := range x.policy.Victims(need) {
		e := x.at(id)
		if e.pins > 0 || e.erasing() {
			continue
		}
		ids, bytes := x.leaving(id)
		if !wants(bytes) {
			break
		}
		for _, id := range ids {
			e := x.at(id)
			d.keys = append(d.keys, e.key)
			d.ids = append(d.ids, pinned{id, e.gen})
			x.erase(id)
		}
	}
	if len(d.keys) > 0 {
		t.mu.deletes = append(t.mu.deletes, d)
	}
}

// roundLocked does a round of background eviction if one is due and none is under
// way. Above the bound, as after a start with less room, one is due in any case. After
// one that has removed nothing there is a rest.
func (t *Tier) roundLocked(now time.Time) {
	e := t.s.Eviction
	x := &t.mu.index
	if t.mu.stopped || !x.complete || x.erasing > 0 || t.mu.breaker.state != StateClosed {
		return
	}
	bound, resting := t.boundLocked(), t.mu.rest.on()
	if bound >= 0 && x.bytes > bound && !resting {
		t.makeRoomLocked(x.bytes-bound, now)
		return
	}
	if e == nil || e.Policy == l2.PolicyNoop {
		return
	}
	if e.Policy == l2.PolicyIsolatedLRU {
		for _, id := range x.overdue() {
			t.quotaRoundLocked(id, now)
		}
		return
	}
	if resting || bound <= 0 || float64(x.bytes) < e.Watermark*float64(bound) {
		return
	}
	t.takeRoundLocked(policy.Need{}, int64(e.Ratio*float64(x.bytes)), now)
}

// quotaRoundLocked takes from one tenant that is above the watermark of its quota.
func (t *Tier) quotaRoundLocked(id uint32, now time.Time) {
	e, x := t.s.Eviction, &t.mu.index
	n := &x.tenants[id]
	target := n.bytes
	if x.limit(n) > 0 {
		target = int64(e.Ratio * float64(n.bytes))
	}
	t.takeRoundLocked(policy.Need{Bytes: target, BySalt: true, Salt: id}, target, now)
}

// takeRoundLocked evicts up to so many bytes, at least one chunk.
func (t *Tier) takeRoundLocked(need policy.Need, left int64, now time.Time) {
	need.Bytes = left
	first := true
	t.evictLocked(need, func(size int64) bool {
		if !first && size > left {
			return false
		}
		first = false
		left -= size
		return true
	}, now)
}

// SetQuota limits what the objects of a salt may take; a negative limit takes it
// away. It reports whether the tier tells tenants apart.
func (t *Tier) SetQuota(salt string, bytes int64) bool {
	t.lock()
	defer t.unlock()
	if !t.mu.index.isolates {
		return false
	}
	x := &t.mu.index
	id := x.tenant(salt)
	x.tenants[id].quota, x.tenants[id].limited = max(bytes, 0), bytes >= 0
	x.settle(id)
	x.vacate(id)
	t.dispatchLocked(t.rt.Now())
	return true
}

// Isolates reports whether the tier tells tenants apart.
func (t *Tier) Isolates() bool { return t.mu.index.isolates }
