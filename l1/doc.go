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
// There is one mutex. A call takes it for at most 64 keys at a time. Under it
// nothing is waited for, written, pinned or allocated from the operating system; the one
// thing done besides the manager's own state is the bounded append of events to
// the bus, which keeps the events of a key in order. Lock order: l1, then the
// queue of the bus.
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
