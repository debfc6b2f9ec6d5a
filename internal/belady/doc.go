// Package belady computes how many chunks of a request trace a cache could have
// served, without running one: at best, by Belady's offline rule, and with exact
// LRU.
//
// A request names a path in the tree of prefixes: a chunk together with
// everything before it. What counts as served is the contiguous prefix of a
// request that is in the cache when the request arrives.
//
// # The bound
//
// At each request the resident prefix is read, and then the missing chunks are
// inserted. The victim is the chunk with the farthest next request, ties deepest
// first, and it may be the newcomer itself; a chunk that is never requested again
// is not inserted. A chunk is requested whenever one below it is, so with this rule
// what is resident is always closed under prefixes, and the hits are those of
// Belady's MIN with bypass, which no replacement policy exceeds.
//
// # Recordings
//
// In a recording, requests are not all: a Sparse one reads every chunk that is
// resident, and an Insert makes chunks resident that nobody has asked for yet, such as
// those that were generated. The next request of a chunk is the next one that reads it.
package belady
