package tier

import (
	"time"

	"github.com/lmcache-go/lmcache/l1/policy"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// index is what a tier is known to hold.
type index struct {
	ids          map[kv.Key]uint32
	entries      []entry // by id; 0 is not used
	free         []uint32
	families     map[uint64]uint32 // by fingerprint
	names        kv.Names          // for that
	kin          []family          // by id; 0 is not used
	freeFamilies []uint32
	salts        map[string]uint32
	tenants      []tenant // by id of the salt; 0 is not used
	vacant       []uint32 // ids of tenants that are gone
	policy       policy.Policy
	isolates     bool
	rules        *l2.Eviction // if isolates
	due          []uint32     // tenants of which a round would take, in any order
	bytes        int64        // of all entries
	erasing      int64        // of those that are being deleted
	reserved     int64        // for stores under way
	objects      int64
	pins         int  // entries that are pinned
	complete     bool // the scan at the start has ended
	partial      bool // and has not found everything
}

// entry is one stored object.
type entry struct {
	key     kv.Key
	size    int64
	since   time.Time // stored or found
	used    time.Time // before this process, as the scan tells
	salt    uint32
	gen     uint32 // raised when the record is used again
	pins    uint32
	claims  uint32 // deletions that are removing it
	family  uint32
	sibling uint32 // next of the family
	used1   bool   // used by this process
	live    bool
	own     bool // this process has stored it
}

// erasing reports whether an entry is being deleted.
func (e *entry) erasing() bool { return e.claims > 0 }

// tenant is what the objects of one salt take. It is forgotten with its last
// object, unless it has a quota: salts come and go with users.
type tenant struct {
	salt     string
	bytes    int64
	objects  int
	quota    int64
	limited  bool
	isolated bool
	due      uint32 // position in index.due, from 1 on; 0: it is not there
	rest     *rest  // nil: what was tried last has removed something
}

func newIndex(e *l2.Eviction) index {
	x := index{
		ids: make(map[kv.Key]uint32), entries: make([]entry, 1),
		families: make(map[uint64]uint32), kin: make([]family, 1),
		salts: make(map[string]uint32), tenants: make([]tenant, 1),
	}
	switch {
	case e == nil || e.Policy == l2.PolicyLRU:
		x.policy = policy.NewLRU()
	case e.Policy == l2.PolicyIsolatedLRU:
		x.policy, x.isolates, x.rules = policy.NewIsolatedLRU(), true, e
	default:
		x.policy = policy.Noop{}
	}
	return x
}

func (x *index) at(id uint32) *entry { return &x.entries[id] }

// find is the id of a key, or 0.
func (x *index) find(k kv.Key) uint32 { return x.ids[k] }

// tenant is the id of a salt.
func (x *index) tenant(salt string) uint32 {
	id, ok := x.salts[salt]
	if ok {
		return id
	}
	if n := len(x.vacant); n > 0 {
		id, x.vacant = x.vacant[n-1], x.vacant[:n-1]
	} else {
		id = uint32(len(x.tenants))
		x.tenants = append(x.tenants, tenant{})
	}
	x.salts[salt] = id
	x.tenants[id] = tenant{salt: salt}
	if x.isolates {
		x.tenants[id].isolated = x.policy.(policy.Isolating).Isolate(id)
	}
	return id
}

// vacate forgets a tenant of which nothing is left.
func (x *index) vacate(id uint32) {
	n := &x.tenants[id]
	if n.objects > 0 || n.limited {
		return
	}
	x.settle(id)
	if n.isolated {
		x.policy.(policy.Isolating).Share(id)
	}
	delete(x.salts, n.salt)
	n.rest.stop()
	*n = tenant{}
	x.vacant = append(x.vacant, id)
}

// add makes an entry, the most recently used one.
func (x *index) add(k kv.Key, size int64, now time.Time) uint32 {
	var id uint32
	if n := len(x.free); n > 0 {
		id, x.free = x.free[n-1], x.free[:n-1]
	} else {
		id = uint32(len(x.entries))
		x.entries = append(x.entries, entry{})
	}
	salt := x.tenant(k.Salt)
	x.entries[id] = entry{key: k, size: size, since: now, salt: salt, gen: x.entries[id].gen + 1, live: true}
	x.ids[k] = id
	x.bytes += size
	x.tenants[salt].bytes += size
	x.tenants[salt].objects++
	x.settle(salt)
	x.objects++
	x.policy.Insert(id, size, salt, now)
	x.join(id)
	return id
}

// remove forgets an entry.
func (x *index) remove(id uint32) {
	e := x.at(id)
	x.bytes -= e.size
	x.tenants[e.salt].bytes -= e.size
	x.tenants[e.salt].objects--
	x.settle(e.salt)
	x.objects--
	if e.erasing() {
		x.erasing -= e.size
	} else {
		x.policy.Remove(id)
		x.deactivate(e)
	}
	x.leave(id)
	if e.pins > 0 {
		x.pins--
	}
	delete(x.ids, e.key)
	x.vacate(e.salt)
	*e = entry{gen: e.gen + 1}
	x.free = append(x.free, id)
}

// resize corrects what an entry takes.
func (x *index) resize(id uint32, size int64) {
	e := x.at(id)
	d := size - e.size
	e.size = size
	x.bytes += d
	x.tenants[e.salt].bytes += d
	x.settle(e.salt)
	if e.erasing() {
		x.erasing += d
	}
}

// touch makes an entry the most recently used one.
func (x *index) touch(id uint32, now time.Time) {
	e := x.at(id)
	e.used1 = true
	if !e.erasing() {
		x.policy.Touch(id, now)
	}
}

func (x *index) pin(id uint32) {
	e := x.at(id)
	if e.pins++; e.pins == 1 {
		x.pins++
		x.policy.Pin(id)
	}
}

func (x *index) unpin(id uint32) {
	e := x.at(id)
	if e.pins--; e.pins == 0 {
		x.pins--
		if !e.erasing() {
			x.policy.Unpin(id, false, e.since)
		}
	}
}

// erase marks an entry as being deleted, by one more deletion.
func (x *index) erase(id uint32) {
	e := x.at(id)
	if e.claims++; e.claims > 1 {
		return
	}
	x.erasing += e.size
	x.policy.Remove(id)
	x.deactivate(e)
}

// keep ends erase of an entry that a deletion could not remove. With the last of them
// it is the newest again, so that others are tried first.
func (x *index) keep(id uint32, now time.Time) {
	e := x.at(id)
	if e.claims--; e.claims > 0 {
		return
	}
	x.erasing -= e.size
	x.policy.Insert(id, e.size, e.salt, now)
	x.activate(e, id)
	if e.pins > 0 {
		x.policy.Pin(id)
	}
}

// addLocked notes that an object is stored, and announces it if it was not known.
func (t *Tier) addLocked(k kv.Key, size int64, now time.Time, own bool) uint32 {
	x := &t.mu.index
	id := x.find(k)
	if id == 0 {
		id = x.add(k, size, now)
		t.o.Sink.Stored(keysOf(k), []int64{size}, now)
	} else {
		if x.at(id).size != size {
			x.resize(id, size)
		}
		x.touch(id, now)
	}
	e := x.at(id)
	e.since = now
	e.used1 = true
	e.own = e.own || own
	return id
}

// forgetLocked notes that an object is not there any more.
func (t *Tier) forgetLocked(k kv.Key, cause Cause, now time.Time) {
	id := t.mu.index.find(k)
	if id == 0 || t.mu.index.at(id).erasing() {
		return
	}
	size := t.mu.index.at(id).size
	t.mu.index.remove(id)
	t.goneLocked(k)
	t.o.Sink.Deleted(keysOf(k), []int64{size}, cause, now)
}

// displacedLocked notes that a store has taken an object of so many bytes out of the
// way of a new one: one of another layout, or, if it was thought to have another size,
// one that something has happened to.
func (t *Tier) displacedLocked(k kv.Key, size int64, now time.Time) {
	cause := CauseLayout
	if id := t.mu.index.find(k); id != 0 && t.mu.index.at(id).size != size {
		cause = CauseCorrupt
	}
	t.forgetLocked(k, cause, now)
}
