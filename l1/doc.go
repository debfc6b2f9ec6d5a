// Package l1 keeps objects in one arena of host memory and lends them out.
//
// An object is absent, staged, or resident:
//
//	Absent ──ReserveWrite──▶ Staging ──Finish──▶ Ready ⇄ Reading (n holders)
//	  ▲                         │ Abort, expiry    │ eviction, delete, clear
//	  └─────────────────────────┴──────────────────┘
//
// Everything that is lent out is a lease: a small value with an idempotent end.
// A lease that is not ended in time expires: a staging is aborted, a pin dropped.
// Its bytes stay where they are until the holder lets go, because the holder may
// still be copying. Bytes become readable by Finish and by nothing else.
//
// INVARIANT: a buffer goes back to the arena when neither the index, nor a
// staging, nor a lease item counts on it; never earlier.
//
// INVARIANT: only resident objects without live holders and without a staging
// beside them are known to the policy as unpinned, and only those are evicted;
// the check and the removal are one critical section.
//
// INVARIANT: a family (the ranks of one chunk) with a successor that has members
// is blocked in the policy, so that eviction takes the tails of prompts first.
//
// # Eviction
//
// A reservation that lacks memory evicts what it needs, at once and for as many of
// its keys as can be served. Its own keys and their ancestors are safe from it. In
// ModeWatermark an evictor also works in the background: usage that reaches the
// watermark wakes it, and so does what becomes evictable above it. It takes rounds
// of EvictionRatio of all bytes until usage is below the watermark or nothing is
// left to take, at most 64 victims per hold of the mutex.
//
// A tenant (salt) may have a quota, which counts the physical bytes of what it has
// resident and staged; it is never above it. A reservation that would exceed it
// evicts the tenant's own objects first, and what still does not fit is out of
// memory. A quota needs a policy that tells tenants apart (policy.Isolating).
//
// A policy that panics or names what is not resident is replaced by LRU over the
// resident entries; that is logged and counted.
//
// # Locks
//
// There is one mutex. A call takes it for at most 64 keys at a time. Under it
// nothing is waited for, written, pinned or allocated from the operating system; the one
// thing done besides the manager's own state is the bounded append of events to
// the bus, which keeps the events of a key in order. A reservation that may wait for
// memory waits without it. Builds with the tag invariants panic where one of these is
// broken. Only a change of a quota holds another lock, above this
// one, so that there is one change at a time. Lock order: quota changes, l1, then
// the queue of the bus.
//
// # Memory
//
// The arena divides one range of addresses of the final size, whose base never
// moves. Package l1/internal/pool gets memory for it in pieces of 64 MiB: private
// memory, huge pages, or a named segment of shared memory that other processes map.
// The capacity is the final one from the start.
//
// By default the memory grows. Workers commit one piece after the other, populate
// it and have it pinned by the devices that asked (Pin); then the arena may hand it
// out, always a range from the base, so that the borders of pieces cost no object
// size anything. So populated memory is used first. A reservation that does not fit
// into what is ready leaves the mutex, commits what it needs and goes on: growth
// that is not done is never a reason to fail or to evict. What cannot be committed
// (a full /dev/shm) takes itself and all behind it out of the capacity, for good.
// A piece that a device cannot pin is handed out when nothing else is left.
//
// With Options.Eager everything is committed and populated before Open returns.
// On a runtime that is not live all is committed by Open and nothing populated: no
// goroutine is started, and offsets are a function of the calls.
//
// Close stops the workers first. It unmaps the memory when no lease and no Pinning
// is open; else a device or a holder may be using it, and it stays mapped.
//
// The package decides by its inputs alone: the time comes with each call, timers
// and their clock from Options.Runtime, and nothing depends on the order of a map
// or on randomness.
package l1
