package gpu

// Tensor is memory of one backend that holds a part of a paged cache, one
// layer in most formats. Only the backend that made it can look inside.
//
// It begins where its first element lies. A view that starts in the middle of an
// allocation (a storage offset) is therefore a Tensor of its own, made by whoever
// opens the allocation: element 0 of Strides is the view's first, and Bytes
// counts from there to the end of what may be touched.
type Tensor interface {
	// Bytes is the size of the memory.
	Bytes() int64
}
