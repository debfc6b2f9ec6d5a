// Package gpu is the seam to a device that holds a paged KV cache: a Backend
// opens Streams, a Stream gathers paged blocks into flat host memory and
// scatters them back, an Event tells when that has happened.
//
// The package knows no bus, no lease and no object: it copies bytes, in order,
// and says when. Package fake is a device in host memory for tests and for
// machines without one; package gputest holds the contract that every Backend
// passes.
package gpu
