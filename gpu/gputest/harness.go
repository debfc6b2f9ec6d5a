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
	// Upload replaces the content of one block in one plane of one layer: data
	// has Group.BlockBytes bytes, in the order of the group's format. No copy
	// of the block is running.
	Upload(p *gpu.Paged, group, layer, plane int, block gpu.BlockID, data []byte) error
	// Download copies the same bytes out to data.
	Download(p *gpu.Paged, group, layer, plane int, block gpu.BlockID, data []byte) error
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
