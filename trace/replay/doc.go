// Package replay drives a storage manager from a recording of package trace.
//
// Run takes the records one after the other, at the times at which they were made or
// as fast as it goes, and makes the same calls again. A recording names keys, not
// leases, so the calls go through storage.Owner: one for each recorded owner, or one
// for all where none was recorded. What one request held is thus never given back by
// another one's call.
//
// The bytes of objects are not in a recording; they are zero, or made from the key so
// that every read can be checked. A miss is no failure: a smaller cache has more of
// them. Latencies are those of the calls alone, without filling and checking bytes.
//
// The player, which makes one call, knows nothing of time: what paces the calls is
// around it. Run belongs to one goroutine; the storage manager is the caller's.
package replay
