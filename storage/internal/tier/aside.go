package tier

import (
	"cmp"
	"slices"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// aside is the stores of keys that are being deleted. Each waits until its key is gone,
// or stays after all, and holds no other store up.
type aside struct {
	next int // number of the next one
	keys map[kv.Key][]parked
}

// parked is an object that waits there.
type parked struct {
	j *Job
	i int
	n int // in order of their coming
}

// asideLocked sets an object aside.
func (t *Tier) asideLocked(j *Job, i int) {
	a := &t.mu.aside
	if a.keys == nil {
		a.keys = make(map[kv.Key][]parked)
	}
	k := j.Objects[i].Key
	a.keys[k] = append(a.keys[k], parked{j, i, a.next})
	a.next++
}

// resumeLocked queues the stores of these keys again, unless they are still being
// deleted.
func (t *Tier) resumeLocked(keys []kv.Key) {
	for _, k := range keys {
		if len(t.mu.aside.keys) == 0 {
			return
		}
		list := t.mu.aside.keys[k]
		if len(list) == 0 || t.leavingLocked(k, t.mu.index.find(k)) {
			continue
		}
		delete(t.mu.aside.keys, k)
		for _, p := range list {
			p.j.todo = append(p.j.todo, p.i)
			t.enqueueLocked(p.j)
		}
	}
}

// endAsideLocked gives all of them up.
func (t *Tier) endAsideLocked(err error) {
	var list []parked
	for _, l := range t.mu.aside.keys {
		list = append(list, l...)
	}
	t.mu.aside = aside{}
	slices.SortFunc(list, func(a, b parked) int { return cmp.Compare(a.n, b.n) })
	for _, p := range list {
		t.settleLocked(p.j, p.i, err)
	}
}
