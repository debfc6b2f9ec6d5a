// Package convert turns request traces in the JSON lines of the Mooncake project into
// recordings of package trace, and back.
//
// # From requests to calls
//
// A request trace says which chunks a prompt has; which of them a cache holds depends
// on the cache. The calls are chosen so that a replay against any cache does what the
// engine would have done there:
//
//   - submit_prefetch_task over all full chunks of the prompt. Its option warm makes the
//     found prefix the most recently used, as reading it would, and leases nothing.
//   - reserve_write over the same chunks, in the mode new, which grants those that are
//     absent: what the engine would have had to compute and store.
//   - finish_write over the same chunks, owned by the reserve_write. Those that were
//     not granted are no keys of it, which changes nothing.
//
// All three carry the time of the request. With Options.Reads the prefix is read as
// well, for runs that measure or verify reads: the lookup leases, each chunk has a
// scope of its own (__enter__ and __exit__), which fails, as a miss, behind the found
// prefix, and finish_read_prefetched over all chunks gives the leases back. The
// decisions are the same; the file is twice as large.
//
// Keys are those that the engine makes of the tokens that package mooncake derives
// from the ids. The last chunk of a prompt, if it is not full, is never cached and
// does not appear. What was generated is not in a request trace.
//
// # From calls to requests
//
// Each lookup is a line, with the ids of its chunks numbered in the order in which they
// first appear; other calls say nothing that the format holds. Ranks of a chunk are one
// id; lookups of another object group than the first one, and one that a request repeats,
// are left out.
package convert
