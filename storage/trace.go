package storage

import (
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// NamePrefix precedes the Name of a Call in a trace file.
const NamePrefix = "lmcache.v1.distributed.storage_manager.StorageManager."

// Names of traced calls. Those with a dot of their own carry no prefix.
const (
	CallReserveWrite   = "reserve_write"
	CallFinishWrite    = "finish_write"
	CallSubmitPrefetch = "submit_prefetch_task"
	CallReadEnter      = "read_prefetched_results.__enter__"
	CallReadExit       = "read_prefetched_results.__exit__"
	CallFinishRead     = "finish_read_prefetched"
	CallClear          = "lmcache.trace.clear"
	CallDelete         = "lmcache.trace.delete"
	CallTouch          = "lmcache.trace.touch"
	CallQuota          = "lmcache.trace.quota"
	CallRenew          = "lmcache.trace.renew"
)

// NoCall is the number of a call that was not traced.
const NoCall int64 = -1

// NoQuota as the bytes of a quota call says that the quota was deleted.
const NoQuota int64 = -1

// Call is published at the entry of a traced call, before any effect, with the
// time of entry. It goes to isolated subscribers only; whether its topic is
// active is the only gate of recording. Fields that a call does not have are zero.
type Call struct {
	N         int64     // number of the call, from 0
	Name      string    // one of the Call constants
	Keys      []kv.Key  // immutable
	Layout    kv.Layout // of reserve_write and submit_prefetch_task
	Mode      Mode      // of reserve_write
	Readers   int       // of submit_prefetch_task and finish_read_prefetched
	RequestID string    // of submit_prefetch_task
	Policy    Policy    // the same
	SkipL2    bool      // the same
	Warm      bool      // the same
	Deadline  time.Duration
	Force     bool   // of clear and delete
	Outer     bool   // of delete: from outer tiers, not from L1
	Tier      int    // of such a delete: index of the tier, or AllTiers
	Unused    bool   // of finish_read_prefetched: nobody read the objects
	Cancelled bool   // the same, and the prefetch, which was not resolved, was given up; perhaps without keys
	Aborted   bool   // of finish_read_prefetched: the reader failed
	More      bool   // the same, Unused: the next such call of the owner is a part of the same release
	Salt      string // of quota
	Bytes     int64  // of quota; NoQuota: it was deleted
	Owner     int64  // number of the call whose lease is used, or NoCall
	Scope     int64  // of finish_read_prefetched and renew: number of the __enter__ that claimed the objects; 0: none
}

// EventName is the wire name.
func (Call) EventName() string { return "trace.call" }

// EventIsolated keeps the event off the shared queue.
func (Call) EventIsolated() bool { return true }

// EventKeys is the number of keys carried.
func (e Call) EventKeys() int { return len(e.Keys) }

// CallDone is published when the outcome of a traced call is known. A prefetch
// has two: at submission and, with Resolved, when its result is known.
type CallDone struct {
	Name        string // of the call
	N           int64
	Took        time.Duration // since the entry of the call
	OK          Bitmap        // keys that succeeded, by position; aborted ones, if Aborted
	OutOfMemory Bitmap        // reserve_write: keys without memory
	Bad         int           // keys that failed; renew: 1 if the lease was no longer live
	Missing     int           // __enter__: those of the failed keys that are not resident
	L1Hits      int           // submit_prefetch_task: keys leased in L1, as Prefetch.L1Hits
	Hits        int           // the same, Resolved: keys retained
	L2Hits      int           // the same: of these, supplied by loads from outer tiers
	Resolved    bool
	Expired     bool // with Aborted: its time was over; the memory is free when the owner lets go
	Aborted     bool // further outcome of a reserve_write: the keys of OK were given up by their owner, or its time was over
}

// EventName is the wire name.
func (CallDone) EventName() string { return "trace.result" }

// EventIsolated keeps the event off the shared queue.
func (CallDone) EventIsolated() bool { return true }

// tracing reports whether somebody records calls. It is looked at before a Call
// is built, which costs more than the look.
func (m *Manager) tracing() bool { return m.topics.call.Active() }

// call publishes the entry of a call and returns its number. Reservations that have
// expired before the call end before it, so that its record follows that.
func (m *Manager) call(at time.Time, c Call) int64 {
	m.l1.Lapse(at)
	c.N = m.calls.Add(1) - 1
	m.topics.call.PublishAt(c, at)
	return c.N
}

// lapsed publishes the end of a reservation whose time was over.
func (m *Manager) lapsed(l l1.Lapse) {
	m.topics.callDone.PublishAt(CallDone{
		Name: CallReserveWrite, N: l.Tag - 1, Took: l.At.Sub(l.Began), OK: positions(l.Keys, l.Lost), Aborted: true, Expired: true,
	}, l.At)
}

// done publishes the outcome of a call that was recorded and began at time at.
func (m *Manager) done(d CallDone, at time.Time) {
	now := m.rt.Now()
	d.Took = now.Sub(at)
	m.topics.callDone.PublishAt(d, now)
}

// renew starts the time of a lease anew, which is recorded if it is known whose lease it
// is: that of a call and, of a reader, of the scope in which it was claimed. False: it is
// no longer live.
func renew[L interface{ Renew(at time.Time) bool }](m *Manager, l L, owner, scope int64) bool {
	at := m.rt.Now()
	if owner == NoCall || !m.tracing() {
		return l.Renew(at)
	}
	d := CallDone{Name: CallRenew, N: m.call(at, Call{Name: CallRenew, Owner: owner, Scope: scope})}
	live := l.Renew(at)
	if !live {
		d.Bad = 1
	}
	m.done(d, at)
	return live
}

// positions is the bitmap of keys, of which some is a part in the same order.
func positions(keys, some []kv.Key) Bitmap {
	b := NewBitmap(len(keys))
	for i := range keys {
		if len(some) > 0 && keys[i] == some[0] {
			b.Set(i)
			some = some[1:]
		}
	}
	return b
}
