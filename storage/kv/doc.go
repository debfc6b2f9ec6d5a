// Package kv holds the words that all other packages share: the Key of an
// object, the Hash of a chunk, the Layout of an object's bytes, and the Hasher
// that turns tokens into a chain of hashes.
package kv
