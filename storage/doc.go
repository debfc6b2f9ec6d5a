// Package storage is the manager above the tiers: it reserves memory for new
// objects, finds and leases a prefix of a prompt's objects, and announces what
// happened.
//
// Five calls make up the traffic, and a recorder can listen to each of them:
// ReserveWrite, WriteLease.Finish, SubmitPrefetch, Prefetch.Read and the release
// of what was read or not. They run on the caller's goroutine and wait for
// nothing, unless a reservation is told to wait for memory. Everything returned is
// a lease with an idempotent end; a miss is a shorter prefix with reasons, never an
// error.
//
// A call copies its key list once; its lease and its events share the copy. It
// reads the clock once, and all of its events carry that time.
//
// # Outer tiers
//
// Without Options.Tiers the manager has one tier, the host memory of package l1.
// Others stand behind it, each an adapter of package l2 with a scheduler around it
// (package storage/internal/tier), and two controllers move objects between them
// and L1:
//
//   - The store controller takes in what is committed. An object waits in one backlog
//     until each of its tiers has it, or will never have it. A tier takes what waits
//     for it as soon as it has a free slot; what runs leases its objects. L1 evicts
//     others before what waits, but only for some seconds: a backlog that does not get
//     on loses objects, which is counted (l1.Stats.EvictedPending, L2StoreDropped).
//   - The prefetch controller takes over what a SubmitPrefetch did not find. It asks
//     the tiers, plans, reserves memory and loads; several prefetches that want a key
//     share one load. It never makes SubmitPrefetch wait. A prefetch resolves exactly
//     once, at the latest at its deadline or when the manager closes; what arrives
//     later stays in L1, leased to nobody.
//
// Nothing that goes wrong in a tier is an error of a call: the prefix is shorter, with
// a reason for each key, and events, counters and log lines tell of the tier.
//
// Deciding code is a state machine: it starts no goroutine, reads time and randomness
// from the runtime only, and depends on no order of a map. OpenVirtual runs the same
// code over models of tiers.
//
// # Locks
//
// The store controller, the prefetch controller and each tier have one mutex each. A
// controller calls into L1 with its mutex held, and into a tier only where that calls
// nothing back; jobs, lookups and deletions are handed over when it is free, and so
// are logs, recorded calls and waiting goroutines. A tier tells of outcomes without
// its mutex. No lock is held over a call of an adapter.
//
// Lock order: store controller or prefetch controller, tier, l1, then the queue of the
// bus. The two controllers never hold each other's.
package storage
