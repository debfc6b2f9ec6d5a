package l1

import (
	"iter"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// WriteLease is borrowed memory for objects that nobody can read yet. It is a
// small value: a copy is the same lease, and one whose lease has ended does
// nothing. It belongs to the goroutine that got it and may be handed over.
type WriteLease struct {
	l   *lease
	gen uint64
}

// All yields the granted buffers by position in the request, until the lease ends.
func (w WriteLease) All() iter.Seq2[int, []byte] { return buffers(w.l, w.gen) }

// Buffer is the buffer of a granted position; nil for another one, with
// Options.NoBytes, and after the lease has ended.
func (w WriteLease) Buffer(i int) []byte {
	if w.Code(i) != Success {
		return nil
	}
	return w.l.buffer(i)
}

// Keys are the requested keys; nil after the lease has ended.
func (w WriteLease) Keys() []kv.Key { return keysOf(w.l, w.gen) }

// Code is Success for a granted position and otherwise says why not. After the
// lease has ended it is KeyInWrongState.
func (w WriteLease) Code(i int) Code { return codeOf(w.l, w.gen, i) }

// Detail says more about a position that was not granted: DetailStaged, if there is
// no object yet and another writer is at it.
func (w WriteLease) Detail(i int) Detail { return detailOf(w.l, w.gen, i) }

// FinishResult says what a finish did. Both lists are in request order.
type FinishResult struct {
	Finished []kv.Key // now readable
	Failed   []kv.Key // the lease had expired, or the key had been finished or aborted
}

// Live reports whether the lease's time goes on at a moment.
func (w WriteLease) Live(at time.Time) bool {
	if w.l == nil {
		return false
	}
	w.l.m.mu.Lock()
	defer w.l.m.mu.Unlock()
	return w.l.gen.Load() == w.gen && w.l.listed && !w.l.dead(at)
}

// Began is when the reservation was made; zero after the lease has ended.
func (w WriteLease) Began() time.Time {
	if w.l == nil || w.l.gen.Load() != w.gen {
		return time.Time{}
	}
	return w.l.began
}

// Finish makes all staged objects readable, each in one step, and ends the lease.
func (w WriteLease) Finish(at time.Time, origin Origin) FinishResult {
	return w.FinishRange(at, 0, len(w.Keys()), origin)
}

// FinishRange is Finish for the positions [lo, hi).
func (w WriteLease) FinishRange(at time.Time, lo, hi int, origin Origin) (r FinishResult) {
	pieces(w.l, w.gen, lo, hi, func(lo, hi int) {
		w.l.m.finishLocked(w.l, at, lo, hi, origin)
	}, func(lo, hi int) {
		items := w.l.items
		r.Finished = run(w.l.keys, lo, hi, func(i int) bool { return items[i].state != itemNone && items[i].result == Success })
		r.Failed = run(w.l.keys, lo, hi, func(i int) bool { return items[i].state != itemNone && items[i].result != Success })
	})
	return r
}

// FinishAndRead makes all staged objects readable and leases them to readers
// holders each, without a gap in which they could be evicted. The returned lease
// is over the same keys; positions that failed are not granted in it.
func (w WriteLease) FinishAndRead(at time.Time, readers int) ReadLease {
	l := w.l
	if l == nil || l.gen.Load() != w.gen {
		return ReadLease{}
	}
	m := l.m
	r := m.newLease(LeaseRead, l.keys, l.layout, l.owner, at)
	for i := range r.items {
		r.items[i].code = KeyInWrongState // until it is leased
	}
	pieces(w.l, w.gen, 0, len(l.keys), func(lo, hi int) {
		m.finishAndReadLocked(l, r, at, lo, hi, uint32(min(max(readers, 1), MaxReaders)))
	}, nil)
	gen := r.gen.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.open == 0 {
		m.discardLocked(r)
	}
	return ReadLease{r, gen}
}

// Abort discards what is not finished yet and ends the lease.
func (w WriteLease) Abort(at time.Time, cause AbortCause) {
	w.AbortRange(at, 0, len(w.Keys()), cause)
}

// AbortRange is Abort for the positions [lo, hi). It returns the keys that were
// still staged, and those that were no longer, but had their memory, in request order.
func (w WriteLease) AbortRange(at time.Time, lo, hi int, cause AbortCause) (aborted, lost []kv.Key) {
	pieces(w.l, w.gen, lo, hi, func(lo, hi int) { w.l.m.abortLocked(w.l, at, lo, hi, cause) }, func(lo, hi int) {
		ended := func(c Code) func(int) bool {
			return func(i int) bool { return w.l.items[i].result == c && w.l.items[i].state == itemSettled }
		}
		aborted, lost = run(w.l.keys, lo, hi, ended(Success)), run(w.l.keys, lo, hi, ended(KeyNotExist))
	})
	return aborted, lost
}

// Renew starts the lease's time anew; false: it is no longer live.
func (w WriteLease) Renew(at time.Time) bool { return renew(w.l, w.gen, at) }
