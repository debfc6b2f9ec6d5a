// Package workload drives an engine over a fake device with the requests of a
// trace, as an inference server would: look up, retrieve what was found, compute
// the rest, store it. It checks every retrieved byte.
//
// # What the bytes are
//
// In a model the attention state of a token depends on all tokens before it. Here
// it follows from them by arithmetic, so that a chunk that is served for the wrong
// prefix, in the wrong place, for the wrong layer, or damaged, is found. All
// numbers have 64 bits and wrap around.
//
//	state(-1) = seed·P + Q
//	state(i)  = (rotl(state(i-1), 23) XOR token(i)) · P
//
// A row is what one token has in one plane (0 is K, 1 is V) of one layer. Its key
// is the state stirred with the row's number, by a multiplication between two
// shifts as in the finaliser of MurmurHash3; word w of the row, little-endian, the
// last one cut, follows from the key:
//
//	x   = state(i) + (plane·layers + layer + 1)·Q
//	y   = (x XOR x>>32) · R
//	key = y XOR y>>29
//	word(w) = key + w·S
//
// The computer writes that into the paged blocks of the device, the checker builds
// the object that a chunk must be and compares the blocks with it. The two share
// nothing but the text above and its constants.
//
// # Rules
//
// A Driver owns its engine, its device and, if it was given none, its bus. With
// one request in flight equal options give equal counts.
package workload

// The constants of the pattern: odd numbers with about as many ones as zeros.
const (
	patternP uint64 = 0x9FB21C651E98DF25
	patternQ uint64 = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio
	patternR uint64 = 0xD6E8FEB86659FD93
	patternS uint64 = 0xA0761D6478BD642F
)
