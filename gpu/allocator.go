package gpu

// Allocator is a Backend that gives out memory of its own and lets the host at
// it, which SelfTest needs. Its methods are safe for concurrent use.
type Allocator interface {
	// Alloc makes a tensor of that many bytes, at least 1. What it holds is
	// undefined. It lives until free or until the backend is closed, and no copy
	// of it may be queued or running when free is called. A second call of a
	// free does nothing.
	Alloc(bytes int64) (t Tensor, free func() error, err error)
	// Upload copies src to a tensor, from byte offset on. It blocks until the
	// bytes are there, and is ordered with no stream: no copy of these bytes may
	// be queued or running. The tensor is one of this backend, not necessarily
	// of Alloc; what does not fit in it is an error and copies nothing.
	Upload(dst Tensor, offset int64, src []byte) error
	// Download is the reverse of Upload.
	Download(dst []byte, src Tensor, offset int64) error
}
