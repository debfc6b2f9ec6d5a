// Package fault wraps an adapter and makes a chosen part of its calls fail (type
// fault_inject), for trials of a whole server: what a slow, dead or lying store does to
// it. What fails is a function of the key and a seed, so that it is the same in every
// run, and the same for LMCache with the same seed.
//
// A key is met by a fault with rate r if the first 8 bytes, as a little-endian number,
// of SHA-256(seed as 8 bytes, little-endian ‖ canonical key ‖ name) modulo 1,000,000
// are less than r × 1,000,000, rounded down. The name is empty for misses of loads
// (rate), else that of the option in a configuration, such as corrupt_rate. A load of n
// keys also misses at positions that are listed, or at fractions of its length.
//
// For tests of code there is l2test.Faulty, which fails on request.
package fault
