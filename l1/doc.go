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
// nothing is waited for, written or allocated from the operating system; the one
// thing done besides the manager's own state is the bounded append of events to
// the bus, which keeps the events of a key in order. Lock order: l1, then the
// queue of the bus.
//
// The package decides by its inputs alone: the time comes with each call, timers
// and their clock from Options.Runtime, and nothing depends on the order of a map
// or on randomness.
package l1
