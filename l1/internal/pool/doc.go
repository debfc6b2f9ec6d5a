// Package pool gets the memory of a cache from the operating system.
//
// A Pool is one range of addresses of the final size, reserved when it is opened.
// Its base never changes, so that it can be registered with devices and shared
// with other processes. Reserving costs nothing; memory is had by committing
// pieces of 64 MiB, in any order and from any goroutine:
//
//   - Private memory is mapped without access, and committing a piece gives
//     access to it. A stray pointer into the rest is a fault, not a silent use.
//   - A named segment is a file in shared memory of the final size, without
//     blocks. Committing allocates the blocks of a piece explicitly, so that a
//     full file system is an error of Commit and never a bus error of whoever
//     writes later.
//   - Huge pages are reserved by the kernel as a whole when the pool is opened;
//     committing does nothing.
//
// Populating a committed piece maps its pages before they are used: a first touch
// costs much more than a copy. It never changes what is in the memory, so a piece
// that is in use may be populated.
//
// # Segments
//
// A segment is created exclusively and its file is locked (flock) as long as the
// pool lives. A file of that name whose lock nobody holds is what a killed process
// left: it is unlinked and replaced, never used again, because clients of the old
// one may still have it mapped. Whoever wins the lock of a file checks that the
// name still leads to it, so that of two processes that start at once one is
// refused and none loses its file. A clean Close unlinks the file.
//
// A Pool starts no goroutine. Its owner calls Close when nobody uses the memory
// any more.
package pool
