// Package gpu is the seam to a device that holds a paged KV cache: a Backend
// opens Streams, a Stream gathers paged blocks into flat host memory and
// scatters them back, an Event tells when that has happened.
//
// The package knows no bus, no lease and no object: it copies bytes, in order,
// and says when. Package fake is a device in host memory for tests and for
// machines without one; package gputest holds the contract that every Backend
// passes.
//
// # Two orders of the same bytes
//
// A host keeps its KV cache in blocks of a few tokens, scattered over one or
// more tensors; a Group describes such tensors and its Format names the order of
// their dimensions. A copy turns the blocks of one chunk into one flat buffer
// and back. The order in the buffer depends on no Format: row-major [planes,
// layers, slots, heads, head size], where the planes are K and V and the slots
// are the chunk's tokens (see Group.Offset). So what was gathered from one
// Format can be scattered into another. With multi-head latent attention (MLA)
// there is one plane of one head.
//
// # Formats and strides
//
// A Format is the order of its dimensions and how they are spread over tensors:
// one per layer, a list of K and one of V, or one for all layers. The strides of
// a Group (see Strides) follow from that, unless the host's tensors have gaps or
// another order: then the Group carries their strides itself, in HostStrides.
// Everything else, all arithmetic and all copying, works on strides and asks for
// no Format. Only the elements of one head must be contiguous. Where a view
// begins in its allocation is the Tensor's business.
//
// Embedders say what their tensors are, with a Group or a Shape. A remote host
// registers tensors without a format; Discover finds out, from shapes, engine
// type and hints, and refuses whatever it would have to guess. Partition divides
// layers into kernel groups, those that one launch can copy.
//
// # Trust
//
// Validate holds a Group against its tensors before anything is copied: nothing
// reaches outside of them, no two elements share a place. SelfTest holds a
// Backend against a Group: it copies a pattern between scratch tensors, where
// the Backend is an Allocator, and compares every byte with what Strides and
// Group.Offset say.
//
// # Time and order
//
// Work runs later than the call that queued it, in order within a stream and
// in any order between streams, unless an Event orders them. Memory is read and
// written when the work runs. Errors travel with events: no verb of a Stream
// returns one.
package gpu
