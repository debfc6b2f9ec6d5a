// Package curve computes from one recording what caches of other sizes and with other
// policies would have served: the miss-ratio curve.
//
// # What a recording becomes
//
// Load turns recorded calls into requests. A lookup (submit_prefetch_task) reads what
// it finds of its keys, the contiguous prefix unless it was sparse, and then inserts
// the others, as a host does that computes and stores what was missing. What was
// missing when the recording was made says nothing about a cache of another size, so
// recorded writes count only where they name keys that no call has named before: text
// that was generated, which the next turn of a conversation looks up. Reads, releases
// and finishes follow from the lookup. Requests come one after the other; a chunk is
// there for the next one. Calls that empty the cache or change quotas are counted and
// left out.
//
// # Three kinds of curves
//
// LRUIdeal is exact LRU for every size at once: the stack distance of a chunk is the
// size of all that was used since it was, itself included, and a cache of that size
// or more has it. The chunks of a request are used from the last to the first, so
// that what is resident is closed under prefixes, as in the cache itself.
//
// A Policy is run: the storage manager with its controllers and its policy, in
// virtual time and without memory, once for each size.
//
// Belady is the bound that no policy exceeds, if all objects have one size; see
// package internal/belady. With several sizes it is the same rule and a good guide.
//
// # Sampling
//
// With a rate below 1 only keys count whose hash says so, the same ones on every
// machine, in caches that are smaller by the same factor. Whether the few keys that
// nearly all prompts begin with are in the sample shifts all values; that is
// corrected by the number of keys that a sample of this rate should have.
//
// All results are a function of the recording and the options.
package curve
