package storage

import (
	"context"
	"iter"
	"slices"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// WriteLease is staged memory for objects that nobody can read yet. It is a small
// value with an idempotent end: `defer lease.Abort()` is always right. It belongs
// to one goroutine at a time.
type WriteLease struct {
	m *Manager
	l l1.WriteLease
	n int64 // number of the reservation's call
}

// ReserveWrite stages memory for the keys that may be written, evicting what it
// must. Objects have layout; the buffers' content is unspecified up to its size,
// and the padding behind it is zero. Keys without a buffer have a Code that says
// why. The keys are copied.
//
// The call waits for nothing but what o.Wait says. An error means that nothing was reserved: bad arguments
// or a closed manager.
func (m *Manager) ReserveWrite(ctx context.Context, keys []kv.Key, layout kv.Layout, mode Mode, o WriteOptions) (WriteLease, error) {
	if err := m.check("ReserveWrite", keys, layout); err != nil {
		return WriteLease{}, err
	}
	at := m.rt.Now()
	keys = slices.Clone(keys)
	n := NoCall
	if m.tracing() {
		n = m.call(at, Call{Name: CallReserveWrite, Keys: keys, Layout: layout, Mode: mode, Owner: NoCall})
	}
	l, err := m.l1.ReserveWriteWithin(ctx, at, o.Wait, keys, layout, mode, l1.WriteOptions{
		Owner: o.Owner, After: o.After, Pending: m.stores != nil, Tag: n + 1,
	})
	if err != nil {
		if n != NoCall {
			m.done(CallDone{Name: CallReserveWrite, N: n, OK: NewBitmap(len(keys)), OutOfMemory: NewBitmap(len(keys)), Bad: len(keys)}, at)
		}
		return WriteLease{}, closedError(err)
	}
	w := WriteLease{m, l, n}
	began := at
	if o.Wait > 0 {
		at = m.rt.Now()
	}
	granted, oom := 0, 0
	for i := range keys {
		switch l.Code(i) {
		case l1.Success:
			granted++
		case l1.OutOfMemory:
			oom++
		}
	}
	if m.topics.writeReserved.Active() {
		ok, failed := partition(keys, granted, func(i int) bool { return l.Code(i) == l1.Success })
		m.topics.writeReserved.PublishAt(WriteReserved{SucceededKeys: ok, FailedKeys: failed}, at)
	}
	if oom > 0 && m.topics.allocationFailed.Active() {
		none, _ := partition(keys, oom, func(i int) bool { return l.Code(i) == l1.OutOfMemory })
		m.topics.allocationFailed.PublishAt(AllocationFailed{During: DuringL1Store, Keys: none}, at)
	}
	if n != NoCall {
		d := CallDone{Name: CallReserveWrite, N: n, OK: NewBitmap(len(keys)), OutOfMemory: NewBitmap(len(keys)), Bad: len(keys) - granted}
		for i := range keys {
			switch l.Code(i) {
			case l1.Success:
				d.OK.Set(i)
			case l1.OutOfMemory:
				d.OutOfMemory.Set(i)
			}
		}
		m.done(d, began)
	}
	return w, nil
}

// partition splits keys, n of which are in, into those that are in and the
// others, both in order. Lists that are consecutive are parts of keys; otherwise
// both share one new array.
func partition(keys []kv.Key, n int, in func(int) bool) (yes, no []kv.Key) {
	switch {
	case n == len(keys):
		return keys, nil
	case n == 0:
		return nil, keys
	}
	prefix := 0
	for prefix < len(keys) && in(prefix) {
		prefix++
	}
	if prefix == n {
		return keys[:n:n], keys[n:]
	}
	out := make([]kv.Key, len(keys))
	y, o := 0, n
	for i := range keys {
		if in(i) {
			out[y] = keys[i]
			y++
		} else {
			out[o] = keys[i]
			o++
		}
	}
	return out[:n:n], out[n:]
}

func closedError(err error) error {
	if err == l1.ErrClosed { //nolint:errorlint // it is returned as it is
		return ErrClosed
	}
	return err
}

// All yields the granted buffers by position in the request, until the lease ends.
func (w WriteLease) All() iter.Seq2[int, []byte] { return w.l.All() }

// Buffer is the buffer of a granted position; nil for another one and after the
// lease has ended.
func (w WriteLease) Buffer(i int) []byte { return w.l.Buffer(i) }

// Keys are the requested keys; nil after the lease has ended.
func (w WriteLease) Keys() []kv.Key { return w.l.Keys() }

// Code is Success for a granted position and otherwise says why it has no buffer.
func (w WriteLease) Code(i int) l1.Code { return w.l.Code(i) }

// Staged reports that a position was not granted because another writer is at its
// object, of which there is none yet.
func (w WriteLease) Staged(i int) bool { return w.l.Detail(i) == l1.DetailStaged }

// FinishResult says what a finish did.
type FinishResult = l1.FinishResult

// Finish makes all staged objects readable, each in one step, and ends the lease.
// A lease that has ended does nothing.
func (w WriteLease) Finish() FinishResult { return w.FinishRange(0, len(w.l.Keys())) }

// FinishRange is Finish for the positions [lo, hi).
func (w WriteLease) FinishRange(lo, hi int) FinishResult {
	if (Select{Lo: lo, Hi: hi}).Len(len(w.l.Keys())) == 0 {
		return FinishResult{}
	}
	m, at := w.m, w.m.rt.Now()
	n, keys := NoCall, []kv.Key(nil)
	if m.tracing() {
		keys = w.granted(lo, hi)
		n = m.call(at, Call{Name: CallFinishWrite, Keys: keys, Owner: w.n})
	}
	layout := kv.Layout{}
	if m.stores != nil {
		layout = w.l.Layout() // the lease may end
	}
	r := w.l.FinishRange(at, lo, hi, l1.OriginNew)
	m.topics.writeFinished.PublishAt(WriteFinished{SucceededKeys: r.Finished, FailedKeys: r.Failed}, at)
	if m.stores != nil {
		m.stores.committed(at, r.Finished, layout)
		m.fetches.committed(at)
	}
	if n != NoCall {
		m.done(CallDone{Name: CallFinishWrite, N: n, OK: positions(keys, r.Finished), Bad: len(r.Failed)}, at)
	}
	return r
}

// granted is the keys of the positions [lo, hi) that got a buffer.
func (w WriteLease) granted(lo, hi int) []kv.Key {
	keys := w.l.Keys()
	lo, hi = max(lo, 0), min(hi, len(keys))
	n := 0
	for i := lo; i < hi; i++ {
		if w.l.Code(i) == l1.Success {
			n++
		}
	}
	yes, _ := partition(keys[lo:hi], n, func(i int) bool { return w.l.Code(lo+i) == l1.Success })
	return yes
}

// Drop aborts the staging at position i.
func (w WriteLease) Drop(i int) { w.abort(i, i+1) }

// Abort discards what is not finished yet and ends the lease.
func (w WriteLease) Abort() { w.abort(0, len(w.l.Keys())) }

// AbortRange is Abort for the positions [lo, hi).
func (w WriteLease) AbortRange(lo, hi int) { w.abort(lo, hi) }

func (w WriteLease) abort(lo, hi int) {
	keys := w.l.Keys()
	if (Select{Lo: lo, Hi: hi}).Len(len(keys)) == 0 {
		return
	}
	at, began := w.m.rt.Now(), w.l.Began()
	aborted, lost := w.l.AbortRange(at, lo, hi, l1.AbortOwner)
	if len(aborted)+len(lost) > 0 && w.n != NoCall {
		w.m.done(CallDone{Name: CallReserveWrite, N: w.n, OK: positions(keys, aborted).or(positions(keys, lost)), Aborted: true}, began)
	}
}

// Renew starts the lease's time anew; false: it is no longer live.
func (w WriteLease) Renew() bool { return w.m != nil && renew(w.m, w.l, w.n, 0) }
