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
// A host keeps its KV cache in blocks of a few tokens, scattered over one
// tensor per layer; a Group describes such tensors and its Format names the
// order of their dimensions. A copy turns the blocks of one chunk into one
// flat buffer and back. The order in the buffer depends on no Format:
// row-major [planes, layers, slots, heads, head size], where the planes are K
// and V and the slots are the chunk's tokens (see Group.Offset). So what was
// gathered from one Format can be scattered into another.
//
// A Format is one small strategy, the strides that it gives a Group
// (see Strides); everything else follows from them.
//
// # Time and order
//
// Work runs later than the call that queued it, in order within a stream and
// in any order between streams, unless an Event orders them. Memory is read and
// written when the work runs. Errors travel with events: no verb of a Stream
// returns one.
package gpu
