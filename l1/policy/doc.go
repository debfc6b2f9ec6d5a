// Package policy decides which resident objects leave when memory is needed.
//
// A policy sees entries as small ids. The manager that drives it owns the
// objects, the links between them and all reasons for protecting one; it tells
// the policy that an entry came, was used, is pinned by a reader or blocked for
// another reason, and asks for victims. Policies are pure state machines, called
// under the manager's mutex: no goroutines, clocks, randomness, logging or I/O,
// nothing allocated for a call once an id has been seen, and results that depend
// on the sequence of calls alone.
//
// # LRU
//
// Each entry carries a sequence number, drawn when it is inserted, touched, or
// released by a reader that used it. One list is ordered by that number. A
// pinned entry is in no structure. A blocked entry that comes up at the tail of
// the list is parked in a heap of its own. An entry that is unblocked, or
// released without having been used, stands under the number it has: at an end
// of the list if it belongs there, else in a small heap, since its place in the
// list is gone. The victim is the older of heap top and list tail, so that
// nothing ever scans past pinned or parked entries; with neither, parked entries
// go, oldest first.
//
// # RecencyFrequency
//
// The same structure per number of uses, over one sequence of numbers. The victim is
// the least of the structures' victims, each with a bonus that grows with the uses.
// What the bonus is worth follows from a forecast of the hits of several weights; uses
// of entries that have left are remembered by fingerprint.
//
// # IsolatedLRU
//
// The same structure per tenant that has a quota and once for the rest, over one
// sequence of numbers. A tenant's own victims are those of its structure; for all
// others the oldest of the structures' victims is taken, which is what LRU would
// take.
package policy
