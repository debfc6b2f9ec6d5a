package tier

import (
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// doom is a key that somebody wants to have deleted. It is not found, and not stored
// again, until that is over, whether the index knows it or not.
type doom struct {
	deletions int
	listed    *l2.Entry // what a scan has said of it meanwhile; nil: nothing
}

// doomLocked begins it, for one deletion.
func (t *Tier) doomLocked(k kv.Key) {
	if t.mu.doomed == nil {
		t.mu.doomed = make(map[kv.Key]doom)
	}
	d := t.mu.doomed[k]
	d.deletions++
	t.mu.doomed[k] = d
}

// spareLocked ends it, for one deletion. An object that stays, and that a scan has
// passed over, is known from then on.
func (t *Tier) spareLocked(k kv.Key, gone bool, now time.Time) {
	d := t.mu.doomed[k]
	d.deletions--
	if gone {
		d.listed = nil
		t.goneLocked(k)
	}
	if d.deletions > 0 {
		t.mu.doomed[k] = d
		return
	}
	delete(t.mu.doomed, k)
	if d.listed != nil && t.mu.index.find(k) == 0 {
		t.foundLocked(*d.listed, now)
	}
}

// leavingLocked reports whether a deletion of a key is queued or under way. The id is
// what the index knows it by, or 0.
func (t *Tier) leavingLocked(k kv.Key, id uint32) bool {
	if id != 0 && t.mu.index.at(id).erasing() {
		return true
	}
	return len(t.mu.doomed) > 0 && t.mu.doomed[k].deletions > 0
}

// writingLocked counts the stores of a key that are under way, by one up or down: what
// a deletion has removed they could bring back.
func (t *Tier) writingLocked(k kv.Key, by int) {
	if t.mu.writing == nil {
		t.mu.writing = make(map[kv.Key]int)
	}
	if t.mu.writing[k] += by; t.mu.writing[k] == 0 {
		delete(t.mu.writing, k)
	}
}
