package gpu

import "errors"

// ErrUnavailable says that this machine has no usable device of the wanted kind.
var ErrUnavailable = errors.New("gpu: device not available")

// ErrClosed is the error of a stream or backend after Close.
var ErrClosed = errors.New("gpu: closed")

// Backend is one device. All methods are safe for concurrent use.
type Backend interface {
	// Device names the device in events, e.g. "cuda:0" or "fake:0".
	Device() string
	// Pin page-locks a region of host memory for fast copies. The region must
	// stay mapped until unpin returns. A region that cannot be pinned is an
	// error; copies from and to it work all the same, but slowly. A region may
	// be pinned again while it is pinned, for another worker of the device, and
	// is pinned until the last unpin; one that overlaps it otherwise is refused.
	// A second call of an unpin does nothing.
	Pin(region []byte) (unpin func() error, err error)
	// NewStream opens a queue of device work. It does not wait for the device's
	// other work.
	NewStream(Priority) (Stream, error)
	// Close closes the streams that are still open, which waits for the work
	// that is queued in them, and frees the device and all memory that it gave
	// out. It is idempotent.
	Close() error
}
