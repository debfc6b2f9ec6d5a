package storage

import (
	"context"
	"fmt"
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
}

// ReadError says which keys could not be read.
type ReadError struct {
	Keys []*l1.KeyError // in order of the selection
}

// Error names the number of keys and the first of them.
func (e *ReadError) Error() string {
	if len(e.Keys) == 1 {
		return e.Keys[0].Error()
	}
	return fmt.Sprintf("%v (and %d more)", e.Keys[0], len(e.Keys)-1)
}

// Unwrap gives the errors of the single keys.
func (e *ReadError) Unwrap() []error {
	errs := make([]error, len(e.Keys))
	for i, k := range e.Keys {
		errs[i] = k
	}
	return errs
}

// Read claims one holder of each selected key: all of them or none. If a lease
// has expired, the object is leased again when it is still there. On failure the
// claimed holders go back, and the error is a *ReadError.
func (p *Prefetch) Read(ctx context.Context, s Select) (ReadLease, error) {
	if err := ctx.Err(); err != nil {
		return ReadLease{}, err
	}
	m, at := p.m, p.m.rt.Now()
	if m.closed.Load() {
		return ReadLease{}, ErrClosed
	}
	if s.Len(len(p.keys)) == 0 {
		return ReadLease{m: m, n: p.n}, nil
	}
	enter := NoCall
	if m.topics.call.Active() {
		enter = m.call(at, Call{Name: CallReadEnter, Keys: s.Pick(p.keys), Owner: p.n})
	}
	taken, bad := p.l.Take(at, s)
	r := ReadLease{m, taken, p.n}
	if bad == 0 {
		m.done(CallDone{N: enter}, at)
		return r, nil
	}
	err := p.readError(s, taken)
	r.finish(l1.CauseAbort, err, at)
	m.done(CallDone{N: enter, Bad: bad}, at)
	return ReadLease{}, err
}

// readError lists the keys that were not claimed, and announces them.
func (p *Prefetch) readError(s Select, taken l1.ReadLease) *ReadError {
	var e ReadError
	var missing, locked []kv.Key
	detail, mixed := "", false
	for i, k := range s.Pick(p.keys) {
		code := taken.Code(i)
		if code == l1.Success {
			continue
		}
		d := taken.Detail(i).String()
		e.Keys = append(e.Keys, &l1.KeyError{Op: "read", Key: k, Code: code, Detail: d})
		if code == l1.KeyNotExist {
			missing = append(missing, k)
			continue
		}
		mixed = mixed || len(locked) > 0 && d != detail
		locked, detail = append(locked, k), d
	}
	if mixed {
		detail = ""
	}
	t, at := p.m.topics.readFailed, p.m.rt.Now()
	if len(missing) > 0 {
		t.PublishAt(ReadFailed{During: DuringL1Retrieve, Reason: ReasonNotFound, Keys: missing}, at)
	}
	if len(locked) > 0 {
		t.PublishAt(ReadFailed{During: DuringL1Retrieve, Reason: ReasonWriteLocked, Detail: detail, Keys: locked}, at)
	}
	return &e
}

// All yields the buffers by index in the selection, until the lease has ended.
// They are shared: nobody may write to them.
func (r ReadLease) All() iter.Seq2[int, []byte] { return r.l.All() }

// Keys are the claimed keys; nil after the lease has ended.
func (r ReadLease) Keys() []kv.Key { return r.l.Keys() }

// Renew starts the lease's time anew; false: it is no longer live.
func (r ReadLease) Renew() bool { return r.m != nil && r.l.Renew(r.m.rt.Now()) }

// EndScope records that the reader has left the scope in which it takes the
// bytes, for traces. It is optional and changes nothing else.
func (r ReadLease) EndScope() {
	if r.m != nil {
		r.exit(r.m.rt.Now())
	}
}

// exit records the end of the scope, once.
func (r ReadLease) exit(at time.Time) {
	if r.m.topics.call.Active() && r.l.Once() {
		r.m.done(CallDone{N: r.m.call(at, Call{Name: CallReadExit, Keys: r.l.Keys(), Owner: r.n})}, at)
	}
}

// Finish gives back one holder per key: the bytes were used.
func (r ReadLease) Finish() { r.FinishRange(0, len(r.l.Keys())) }

// FinishRange is Finish for the indexes [lo, hi).
func (r ReadLease) FinishRange(lo, hi int) {
	if r.m == nil || hi <= lo {
		return
	}
	m, at := r.m, r.m.rt.Now()
	n := NoCall
	if m.topics.call.Active() {
		r.exit(at)
		s := Select{Lo: lo, Hi: hi}
		n = m.call(at, Call{Name: CallFinishRead, Keys: s.Pick(r.l.Keys()), Readers: 1, Owner: r.n})
	}
	m.released(r.l.Release(at, Select{Lo: lo, Hi: hi}, 1, l1.CauseRead), l1.CauseRead, at)
	m.done(CallDone{N: n}, at)
}

// Abort gives back one holder per key: the reader failed and used nothing.
func (r ReadLease) Abort() {
	if r.m != nil {
		r.finish(l1.CauseAbort, nil, r.m.rt.Now())
	}
}

// finish ends the lease with a cause; bad are the keys that were never claimed.
func (r ReadLease) finish(cause l1.ReadCause, bad *ReadError, at time.Time) {
	r.exit(at)
	res := r.l.Finish(at, cause)
	if bad != nil {
		for _, k := range bad.Keys {
			res.Failed = append(res.Failed[:len(res.Failed):len(res.Failed)], k.Key)
		}
	}
	r.m.released(res, cause, at)
}
