// Package fs stores objects as files, on any local or shared file system.
//
// # Files
//
// In format v1, the default, an object is base/v1/<2 hex digits>/<stem>.kv1: header,
// payload, zeros up to a multiple of 4096 bytes. The stem is the text form of the key
// with the bytes of model and salt that are not letters, digits, ".", "_" or "-"
// percent-encoded, and the folder is the first byte of its CRC-32C. A key whose name
// would be longer than 255 bytes is h-<SHA-256 of its canonical bytes>.kv1, and is
// read from the header. In format raw an object is base/<name>.data with the logical
// bytes alone, as LMCache's own file adapters write it, so that both can share a
// folder; nothing but the length can be checked there.
//
// Only regular files whose name is exactly that of a key are objects. Everything else
// (links, other names, files shorter than a header) is somebody else's: it is not
// listed, not read and not removed.
//
// # Writing
//
// An object is written completely to a temporary file with a unique name, in the
// folder of its final name or in TempDir, and gets its name by a rename that does not
// replace, a link where the file system cannot do that, or a plain rename where it
// can do neither. So at any moment a name is an object that is complete, or nothing;
// a process that is killed leaves temporary files behind, which are removed when a
// store is opened and they are older than an hour. The writer that comes second has
// succeeded, with nothing written. A file with the name of a key and a length that
// does not fit is moved to base/quarantine, where the latest 16 are kept.
//
// Without fsync a power loss may tear objects whose rename has reached the disk.
// Header, length and checksum turn them into misses. Under raw there is no checksum:
// there, use fsync.
//
// # Direct I/O
//
// With DirectIO, Open writes and reads real bytes with O_DIRECT in the folder itself.
// If that fails it says why and goes on without. Later a file falls back by itself if
// its length does not fit or the kernel refuses (data that does not lie on a
// multiple of the block size, for example). Data is neither copied nor padded by
// copying: the capacity of a buffer takes the padding. Headers are copied to memory
// that is aligned.
//
// # Index
//
// A fingerprint of each known key and its size are kept in memory, about 30 bytes per
// object. A lookup asks there first and the file system afterwards, so that what
// another process has written is found; what a load does not find is forgotten.
// [Store.Scan] fills the index after a restart.
//
// # Concurrency
//
// All methods may be called at the same time, by any number of processes on one
// folder. The items of one call are worked off one after the other: parallelism is
// the caller's, who runs several calls. A call that waits for a disk cannot be
// stopped; between two items, and between pieces of 8 MiB, it looks at its context.
// Goroutines: one that tidies up after Open, one at a time that asks for the free
// space or writes times of use. Close waits for them and for all calls.
//
// Locks are leaves: none is held during a call of the file system, except that of
// the quarantine.
package fs
