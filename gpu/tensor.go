package gpu

// Tensor is memory of one backend that holds a part of a paged cache, one
// layer in most formats. Only the backend that made it can look inside.
type Tensor interface {
	// Bytes is the size of the memory.
	Bytes() int64
}
