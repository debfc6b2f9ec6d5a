// Package tier puts around an adapter what the storage manager needs of an outer
// tier: slots and queues, deadlines, retries, a circuit breaker, pins, capacity,
// accounting and eviction. The adapter is only ever asked to move bytes.
//
// A [Tier] is a state machine under one mutex. It is driven by its methods, by
// completions of calls and by timers of the runtime; it starts no goroutine, reads no
// clock and depends on no order of a map. The same code runs live and in virtual
// time, where a model that keeps keys and sizes stands in for the adapter.
//
// # Calls
//
// A [Job] is a batch of loads or stores. It is cut into calls of the adapter, as many
// as there are free slots, and is done when every object has its outcome. Loads go
// before stores. While loads wait, a store begins only after eight calls of loads went
// before it, and stores hold half of the slots at most: a queue of loads that never
// ends delays stores and does not stop them, and a load waits for one call of a store
// at most. Lookups run beside the slots, and so does one deletion at a time.
//
// Each call has a deadline. A call that has not returned soon after it is given up:
// its objects fail with a timeout and its slot is free, but it is still counted and
// its buffers still belong to it until it returns. Job.Done tells of outcomes,
// Job.Returned of buffers that come back after that.
//
// The store is not asked for what nobody waits for any more: a lookup that is dropped
// leaves its queue, and what still waits at the deadline of those who asked for it has
// timed out without a call. A call that has begun by then may go on for a while. What is
// cut short in this way says nothing about the store, unless it is not back when the time
// of a call of its kind would have been over.
//
// # Accounting
//
// The index knows each stored object once, with its bytes, whether a store, a lookup,
// a load or the scan at the start brought it up. A store reserves its bytes before
// its call begins, so that the capacity is a bound; what is in the way is evicted
// first, the ranks of a chunk together and no chunk before those that follow it, as far
// as that is known. An object that is being deleted counts until it is gone.
// A store that was given up and writes all the same counts when it returns; what is above
// the capacity then makes room.
// Background eviction of a store that deletes nothing rests, longer and longer, each
// tenant for itself.
//
// A key is deleted after the stores of it that are under way, and neither stored nor found
// until that is over, whether the index knows it or not. What the store has said of a key
// before it was removed, to a lookup or a scan, does not count.
//
// # Locks
//
// Methods of the sink run under the mutex, except Room, and only append to queues.
// Callbacks of jobs and logs run without it. No lock is held over calls of the
// adapter. The caller may hold locks of its own over methods of a Tier: lock order is
// controller, tier, queue of the bus.
package tier
