// Package kv holds the words that all other packages share: the Key of an
// object, the Hash of a chunk, the Layout of an object's bytes, and the Hasher
// that turns tokens into a chain of hashes.
//
// # From tokens to keys
//
// A prompt is cut into chunks of equal size; a ragged tail takes no part. The
// hash of a chunk covers its tokens and the hash of the chunk before it, so
// equal hashes mean equal tokens from position 0. A Hasher computes them, bit
// for bit as other implementations of the same wire format do: BLAKE3 (the
// default), SHA256CBOR and Builtin, which is weak. None of them is ever put in
// the place of another, and no environment variable has any influence.
//
// A Chain is what has been hashed of one prompt. It is a value: extending it
// with a longer or changed prompt hashes from the first difference and leaves
// the old one as it is, so that no lock is held while hashing.
//
// A Request says what else names an object: model, salt, ranks. Its AppendKeys
// is the one place where keys are made of hashes. It checks the request once and
// returns an error rather than keys that are not valid.
//
// # Forms of a key
//
// A Key is a comparable value with three written forms: text (String, ParseKey)
// for names in stores, JSON for people and programs, and canonical bytes
// (AppendCanonical, ParseCanonical) for file headers. What is parsed is valid;
// what is written comes back as it was. A text that does not parse is somebody
// else's name, which listings skip.
//
// # Forms of a layout
//
// The Layout of an object is not part of its key. It is told by a Fingerprint,
// so that an object of another layout is a miss and never data.
//
// The package starts no goroutine, reads no clock and no environment, and has
// no state of its own. All its values may be shared by goroutines.
package kv
