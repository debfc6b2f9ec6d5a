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
// The manager has one tier, the host memory of package l1. Lock order: storage,
// then l1, then the queue of the bus.
package storage
