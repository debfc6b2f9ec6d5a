package gpu

import (
	"context"
	"errors"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// ErrUnavailable says that this machine has no usable device of the wanted kind.
var ErrUnavailable = errors.New("gpu: device not available")

// ErrClosed is returned by a stream or backend after Close.
var ErrClosed = errors.New("gpu: closed")

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

// Backend is one device. All methods are safe for concurrent use.
type Backend interface {
	// Device names the device in events, e.g. "cuda:0" or "fake:0".
	Device() string
	// Pin page-locks a region of host memory for fast copies. The region must
	// stay mapped until unpin returns. A region that cannot be pinned is an
	// error; copies from and to it work all the same, but slowly.
	Pin(region []byte) (unpin func() error, err error)
	// NewStream opens a queue of device work.
	NewStream(Priority) (Stream, error)
	// Close waits for all streams to be closed by their owners' work and frees
	// the device. It is idempotent.
	Close() error
}

// Stream is an in-order queue of device work. A method takes its place in the
// queue and returns; the work runs later, in order within the stream and in any
// order relative to other streams unless an Event orders them. A stream is used
// by one goroutine at a time. Buffers and blocks are read and written when the
// work runs: they must stay valid until an Event recorded behind it is done.
type Stream interface {
	// Wait holds back later work until e is done. If e failed, so does all
	// later work of this stream up to and including the next Record's event.
	Wait(e Event)
	// Gather copies the given blocks of kernel group `group` of src into dst, in
	// object order [kv, layers, slots, heads*head size] (see Group). dst must
	// have Group.Bytes(len(blocks)) bytes; slots of NoBlock are zero-filled.
	Gather(dst []byte, src *Paged, group int, blocks []BlockID)
	// Scatter is the reverse of Gather: it copies src into the given blocks of
	// kernel group `group` of dst; NoBlock entries are skipped.
	Scatter(src []byte, dst *Paged, group int, blocks []BlockID)
	// Record returns an Event that is done when all work queued before it has
	// run, or failed. Errors of that work since the previous Record, and a
	// sticky device error, are the event's error.
	Record() Event
	// Close waits for queued work and frees the stream. It is idempotent.
	Close() error
}

// Event is a recorded point of a stream. It is safe for concurrent use.
type Event interface {
	// Done reports whether the stream has reached the event, at which time of
	// the device (in host clock terms, error at most 50 µs), and with which error.
	Done() (at time.Time, done bool, err error)
	// Wait blocks until the event is done and returns its error, or until ctx
	// ends and returns the context's error.
	Wait(ctx context.Context) error
}

// Tensor is memory of one backend that holds one layer of a paged cache.
// Only the backend that made it can look inside.
type Tensor interface {
	// Bytes is the size of the memory.
	Bytes() int64
}

// Format names the order of a paged cache's dimensions, outermost first.
type Format string

// NL_X_TWO_NB_BS_NH_HS is one tensor [2, blocks, block tokens, heads, head size]
// per layer, K first and then V.
const FormatTwoNBBSNHHS Format = "NL_X_TWO_NB_BS_NH_HS"

// Group is a kernel group: layers with equal shape, element type and strides,
// copied by one Gather or Scatter.
type Group struct {
	Format      Format
	Layers      []Tensor // one per layer, in layer order
	Blocks      int      // blocks per tensor
	BlockTokens int      // tokens per block
	Heads       int
	HeadSize    int // elements
	DType       kv.DType
	EngineGroup int // index of the block table that addresses this group
}

// Paged describes a host's paged KV cache on a device. It is not changed after
// it was given to a worker.
type Paged struct {
	Groups []Group
}
