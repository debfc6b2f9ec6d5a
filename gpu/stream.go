package gpu

import "strconv"

// BlockID is the number of a block in a host's paged KV cache.
type BlockID int32

// NoBlock stands for a place that is not to be copied: Gather zero-fills its
// slots, Scatter writes nothing for it.
const NoBlock BlockID = -1

// Priority orders the streams of one device.
type Priority int8

// Stream priorities: retrieves run on High streams, stores on Normal ones.
const (
	Normal Priority = iota
	High
)

// String is "normal" or "high".
func (p Priority) String() string {
	switch p {
	case Normal:
		return "normal"
	case High:
		return "high"
	}
	return strconv.Itoa(int(p))
}

// Stream is an in-order queue of device work. A method takes its place in the
// queue and returns without waiting for the device; the work runs later, in
// order within the stream and in any order relative to other streams unless an
// Event orders them. A stream is used by one goroutine at a time. Buffers and
// blocks are read and written when the work runs: they must stay valid until an
// Event recorded behind it is done. A list of blocks is copied by the call and
// may be reused at once.
//
// Work that cannot be done (a group or block that does not exist, a buffer of
// another size, an error of the device) fails. What fails is the error of the
// next Record's event, and copies queued between the two may be left out, so
// nothing may be assumed of any destination in front of a failed event. The
// work behind that Record starts afresh, unless the device's error is sticky.
type Stream interface {
	// Wait holds back later work until e, an event of the same device, is done.
	// If e failed, so does all later work of this stream up to and including
	// the next Record's event. A nil Event is no wait.
	Wait(e Event)
	// Gather copies the given blocks of kernel group `group` of src into dst, in
	// object order [planes, layers, slots, heads*head size] (see Group.Offset).
	// dst must have Group.Bytes(len(blocks)) bytes; slots of NoBlock are
	// zero-filled.
	Gather(dst []byte, src *Paged, group int, blocks []BlockID)
	// Scatter is the reverse of Gather: it copies src into the given blocks of
	// kernel group `group` of dst; NoBlock entries are skipped. A block that is
	// named twice has the content of either.
	Scatter(src []byte, dst *Paged, group int, blocks []BlockID)
	// Record returns an Event that is done when all work queued before it has
	// run, or failed. Errors of that work since the previous Record, and a
	// sticky device error, are the event's error. After Close it returns an
	// event that is done and failed with ErrClosed.
	Record() Event
	// Close waits for queued work and frees the stream. It is idempotent.
	Close() error
}
