package storage

import (
	"context"
	"iter"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// ReadLease is the bytes of objects that a reader has claimed from a Prefetch. It
// is a small value with an idempotent end and belongs to one goroutine at a time.
type ReadLease struct {
	m *Manager
	l l1.ReadLease
	n int64 // number of the prefetch's call

	enter int64 // number of the call that began the scope; 0: it was not recorded
}

// Read claims one holder of each selected key: all of them or none. If a lease
// has expired, the object is leased again when it is still there. On failure the
// claimed holders go back, and the error is a *ReadError. A closed manager goes on
// serving what is leased.
func (p *Prefetch) Read(ctx context.Context, s Select) (ReadLease, error) {
	if err := ctx.Err(); err != nil {
		return ReadLease{}, err
	}
	m, at := p.m, p.m.rt.Now()
	if s.Len(len(p.keys)) == 0 {
		return ReadLease{m: m, n: p.n}, nil
	}
	keys := s.Pick(p.keys)
	enter := NoCall
	if m.tracing() {
		enter = m.call(at, Call{Name: CallReadEnter, Keys: keys, Owner: p.n})
	}
	taken, bad := p.l.Take(at, s)
	if bad > 0 || taken == (l1.ReadLease{}) {
		err := p.failRead(keys, taken, enter, at)
		m.logReadError(ctx, err, p.o.Owner)
		return ReadLease{}, err
	}
	if enter != NoCall {
		ok := NewBitmap(len(keys))
		ok.SetPrefix(len(keys))
		m.done(CallDone{Name: CallReadEnter, N: enter, OK: ok}, at)
	}
	return ReadLease{m: m, l: taken, n: p.n, enter: max(enter, 0)}, nil
}

// All yields the buffers by index in the selection, until the lease has ended.
// They are shared: nobody may write to them.
func (r ReadLease) All() iter.Seq2[int, []byte] { return r.l.All() }

// Keys are the claimed keys; nil after the lease has ended.
func (r ReadLease) Keys() []kv.Key { return r.l.Keys() }

// Renew starts the lease's time anew; false: it is no longer live.
func (r ReadLease) Renew() bool {
	switch {
	case r.m == nil:
		return false
	case r.enter == 0: // without a record of the scope, none could tell which lease it is
		return renew(r.m, r.l, NoCall, 0)
	}
	return renew(r.m, r.l, r.n, r.enter)
}

// EndScope records that the reader has left the scope in which it takes the
// bytes, for traces. It is optional and changes nothing else.
func (r ReadLease) EndScope() {
	if r.m != nil {
		r.exit(r.m.rt.Now())
	}
}

// exit records the end of the scope, once, if its beginning was.
func (r ReadLease) exit(at time.Time) {
	if r.enter == 0 || !r.l.Once() {
		return
	}
	n := r.m.call(at, Call{Name: CallReadExit, Keys: r.l.Keys(), Owner: r.n})
	r.m.done(CallDone{Name: CallReadExit, N: n}, at)
}

// Finish gives back one holder per key: the bytes were used.
func (r ReadLease) Finish() { r.FinishRange(0, len(r.l.Keys())) }

// FinishRange is Finish for the indexes [lo, hi).
func (r ReadLease) FinishRange(lo, hi int) { r.finish(lo, hi) }

// finish is FinishRange and returns the keys that had expired.
func (r ReadLease) finish(lo, hi int) (failed []kv.Key) {
	part := Select{Lo: lo, Hi: hi}
	if part.Len(len(r.l.Keys())) == 0 {
		return nil
	}
	m, at := r.m, r.m.rt.Now()
	r.exit(at)
	n, keys := NoCall, []kv.Key(nil)
	if m.tracing() {
		if keys = r.held(part); len(keys) > 0 {
			n = m.call(at, Call{Name: CallFinishRead, Keys: keys, Readers: 1, Owner: r.n, Scope: r.enter})
		}
	}
	res := r.l.Release(at, part, 1, l1.CauseRead)
	m.released(res, l1.CauseRead, at)
	if n != NoCall {
		m.done(CallDone{Name: CallFinishRead, N: n, OK: positions(keys, res.Released), Bad: len(res.Failed)}, at)
	}
	return res.Failed
}

// Abort gives back one holder per key: the reader failed and used nothing.
func (r ReadLease) Abort() { r.abort() }

// abort is Abort and returns the keys that had expired.
func (r ReadLease) abort() (failed []kv.Key) {
	if r.m == nil {
		return nil
	}
	at := r.m.rt.Now()
	r.exit(at)
	n, keys := r.traceAbort(at)
	res := r.l.Finish(at, l1.CauseAbort)
	r.m.released(res, l1.CauseAbort, at)
	if n != NoCall {
		r.m.done(CallDone{Name: CallFinishRead, N: n, OK: positions(keys, res.Released), Bad: len(res.Failed)}, at)
	}
	return res.Failed
}

// traceAbort records that a reader that failed gives its holders back.
func (r ReadLease) traceAbort(at time.Time) (n int64, keys []kv.Key) {
	if !r.m.tracing() {
		return NoCall, nil
	}
	if keys = r.held(l1.All(len(r.l.Keys()))); len(keys) == 0 {
		return NoCall, nil
	}
	return r.m.call(at, Call{Name: CallFinishRead, Keys: keys, Readers: 1, Aborted: true, Owner: r.n, Scope: r.enter}), keys
}

// held is the keys of a selection that have not been given back.
func (r ReadLease) held(s Select) []kv.Key {
	left := r.l.HeldByPosition()
	keys, lo, hi := r.l.Keys(), max(s.Lo, 0), min(s.Hi, len(left))
	if hi > len(keys) || lo >= hi {
		return nil // the lease has ended
	}
	n := 0
	for _, h := range left[lo:hi] {
		n += min(h, 1)
	}
	held, _ := partition(keys[lo:hi:hi], n, func(i int) bool { return left[lo+i] > 0 })
	return held
}
