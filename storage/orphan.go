package storage

import "github.com/lmcache-go/lmcache/l1"

// Orphan discards what is staged, as Abort does, but leaves the bytes out of use
// until the lease is aborted: a process that shares the memory may still write to
// them.
func (w WriteLease) Orphan() {
	if w.m == nil {
		return
	}
	keys, at := w.l.Keys(), w.m.rt.Now()
	orphaned := w.l.Orphan(at, l1.AbortOwner)
	if len(orphaned) > 0 && w.n != NoCall {
		w.m.done(CallDone{Name: CallReserveWrite, N: w.n, OK: positions(keys, orphaned), Aborted: true}, at)
	}
}

// Offset is where the buffer of a granted position begins in Regions, in bytes;
// -1 for other positions and after the lease has ended.
func (w WriteLease) Offset(i int) int64 { return w.l.Offset(i) }

// Orphan lets go of the objects, as Abort does, but leaves their bytes out of use
// until Free: a process that shares the memory may still read them.
func (r ReadLease) Orphan() {
	if r.m == nil {
		return
	}
	at := r.m.rt.Now()
	r.exit(at)
	n, keys := r.traceAbort(at)
	orphaned := r.l.Orphan(at)
	r.m.released(l1.ReleaseResult{Released: orphaned}, l1.CauseAbort, at)
	if n != NoCall {
		r.m.done(CallDone{Name: CallFinishRead, N: n, OK: positions(keys, orphaned), Bad: len(keys) - len(orphaned)}, at)
	}
}

// Free ends a lease whose objects were let go of by Orphan. It publishes nothing.
func (r ReadLease) Free() {
	if r.m != nil {
		r.l.Finish(r.m.rt.Now(), l1.CauseAbort)
	}
}

// Offset is where the buffer of a claimed position begins in Regions, in bytes; -1
// for other positions and after the lease has ended.
func (r ReadLease) Offset(i int) int64 { return r.l.Offset(i) }
