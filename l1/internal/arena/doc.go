// Package arena hands out pieces of one large range of memory outside of the Go
// heap.
//
// The memory is its owner's and is only read and written where pieces are handed
// out. Without Options.Memory the arena hands out offsets only.
//
// # How memory is divided
//
// Offsets and sizes are counted in units of the alignment. The range is divided
// into spans, linked by address, that are free or in use; two free spans are
// never neighbours. Free spans are also in a search tree ordered by length, then
// offset.
//
// Objects of one size are a class. A class takes memory in runs: one span that
// holds up to 256 objects, about 4 MiB (less in a small arena, and never less
// than one object), cut to what the largest free span can hold. So an object
// larger than that has a span of its own. A run keeps a bitmap of its free slots
// and goes back to the pool, joining its free neighbours, as soon as it is empty.
// Allocation takes a slot of the class's most recently used run that has one.
//
// Two properties follow. With a single object size nothing is ever lost: an
// arena of n times the size holds n objects, in any order of allocation and
// release. And a change of object sizes cannot wedge the arena. An empty run is
// nobody's. One that is partly in use can be broken up: its objects stay where
// they are, each in a span of its own, and the rest is free. An allocation that
// finds no room does that to one run of a size that uses much less than it holds,
// and Reclaim does it to all.
//
// The best-fitting span is taken, not the first one of some size range: for
// objects with spans of their own that keeps the holes that one size leaves for
// that size, which is what runs do for small objects.
//
// # Memory that is not ready, and memory of second choice
//
// With Options.HoldBack nothing is handed out before Advance says up to where the
// range is ready. What is ready is always a range from the start: with ready parts
// here and there, each border would cost up to one object of every size. Cut gives
// up what is not ready.
//
// Postpone names ranges to be used last. Such a range is taken out of the pool of
// free spans whenever it is free as a whole, and called back when an allocation
// finds no other room. In between, its parts are as good as any. At the borders of
// such ranges up to one object each may find no room until both sides are free.
//
// # Rules
//
// An Arena is a state machine: no locks, goroutines, clocks or randomness, no
// system call, and in steady state no allocation from the Go heap. What it returns depends on the sequence of calls alone. Its owner
// serializes all calls but Physical, Size, Align and At, which only read what New
// has fixed, and Capacity, which is atomic.
//
// Free panics for a piece that is not handed out. Builds with the tag invariants
// also overwrite freed memory with Poison.
package arena
