// Package l2 is the contract between the storage manager and a store outside of
// host memory: a disk, a Redis, an S3 bucket, or one of the user's own.
//
// # Adapter and tier
//
// An [Adapter] is blocking code that moves objects to and from one store. It knows
// nothing of host memory, leases, events or metrics, and has no queues, pools or
// retries of its own beyond what a client library brings. The storage manager puts a
// tier around each adapter, which owns all of that: slots, deadlines, retries, the
// circuit breaker, pins, capacity and accounting. So no adapter can forget them, and
// a new one is a few hundred lines.
//
// What a store can do besides is told by optional interfaces: [Formatter], [Lister],
// [Scanner], [Toucher], [Limiter], [Quarantiner], [Describer]; they are found with
// [AbilityOf], which also looks into wrappers. The contract suite in l2test holds for
// every adapter.
//
// # Stored objects
//
// An object is stored as a header ([Header]) and its payload. The header names the
// key, the layout, the length and a checksum, and all of it is verified on every
// load before anybody sees a byte ([Header.Verify]); so a store that mixes up, tears
// or flips bytes gives a miss, never data. The format raw has the payload alone, as
// LMCache writes it, and can only check the length.
//
// # Memory
//
// Buffers are borrowed for one call. None is kept after the call returns; a call
// that cannot stop when its context ends keeps its buffers until it returns.
package l2
