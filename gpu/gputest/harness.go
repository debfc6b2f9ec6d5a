package gputest

import (
	"testing"

	"github.com/lmcache-go/lmcache/gpu"
)

// Harness is a backend under test and a way around its streams, to put bytes into
// device memory and to see what is there.
type Harness interface {
	// Backend is the device. The suite closes it.
	Backend() gpu.Backend
	// NewPaged allocates a paged cache, which lives until the backend is closed.
	NewPaged(shapes ...gpu.Shape) (*gpu.Paged, error)
	// Upload replaces the bytes of a tensor from an offset on. No copy of them is
	// running.
	Upload(dst gpu.Tensor, offset int64, src []byte) error
	// Download copies bytes of a tensor out to dst.
	Download(dst []byte, src gpu.Tensor, offset int64) error
}

// Holder is a Harness that can hold back the work of all streams, so that the
// suite can look at what is queued but has not run.
type Holder interface {
	// Hold returns when no work is running.
	Hold()
	// Release lets work run again.
	Release()
}

// Faulter is a Harness that can make copies fail.
type Faulter interface {
	// FailNextCopy makes the next copy that runs fail with an error that wraps err.
	FailNextCopy(err error)
	// BreakDevice makes all work fail from now on.
	BreakDevice()
}

// Opener opens a fresh device for one test.
type Opener func(tb testing.TB) Harness
