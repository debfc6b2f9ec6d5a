// Package trace records the calls of a storage manager and reads them back.
//
// A Recorder is a subscriber of an event bus that writes storage.Call and
// storage.CallDone to a file of frames, in the format of LMCache's trace files,
// byte for byte, or in an extended form of it that LMCache reads too. The format
// is written down in docs/trace-format.md. Read and File stream such files, this
// project's and LMCache's, in constant memory.
//
// # Path of a record
//
// The storage manager publishes a Call on entry, if somebody listens, and a CallDone
// when the outcome is known. Both go to the recorder's own queue, which makes the
// publisher wait for room for a bounded time. The recorder's goroutine, that of its
// subscription, encodes them into one buffer and writes it to the file when it is
// full and every 50 ms. So a call pays for the publish only, and the file is at most
// 100 ms behind.
//
// # What is lost
//
// Nothing, as long as the file keeps up. A call that is lost all the same, as the
// queue stayed full, it could not be encoded or the disk was full, is counted by
// reason, and the next frame with a higher number follows a gap record that says
// how many are missing. A file never has a torn frame before its end: what a
// failed write left is cut away before the next one.
//
// # Reading
//
// Input is not trusted. The structure of every frame is checked in one pass before
// anything is decoded; no memory is allocated for a length whose bytes have not
// arrived. Damage is a *DamageError among the records, and reading goes on behind it
// where it can. Arguments are decoded on demand, since most readers need only names
// and times.
//
// The subpackage replay drives a storage manager from a file, curve computes what other
// caches would have served, and convert turns request traces into recordings and back.
// Cut takes a part out of a recording.
package trace
