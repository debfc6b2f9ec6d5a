// Package l2test holds the contract that every l2.Adapter passes. [Run] takes a
// function that opens an empty store and goes through every promise of the
// interface and of the optional ones that the adapter has; [Benchmark] measures it.
//
// The buffers of the suite are as long as an object and as large as its padding,
// lie between guards, and are overwritten as soon as a call has returned, so that an
// adapter which writes too far or keeps one is found.
//
// [Faulty] wraps an adapter and makes it fail on request, for tests of what stands
// above.
package l2test
