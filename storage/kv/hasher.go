package kv

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The names of the hash algorithms.
const (
	BLAKE3     = "blake3"      // the default
	SHA256CBOR = "sha256_cbor" // takes a seed text
	Builtin    = "builtin"     // weak: 64 bits
)

// Algorithms are the names that NewHasher knows, the default first; the caller
// owns the slice.
func Algorithms() []string { return []string{BLAKE3, SHA256CBOR, Builtin} }

// Hasher turns tokens into a chain of chunk hashes: the hash of a chunk covers
// its tokens and the hash before it, and so all tokens from position 0. A token
// is the 32 bits of its int32, read as an unsigned number. Salt, model and rank
// take no part.
//
// A Hasher is immutable: its methods may be called by many goroutines at once,
// keep no slice that they are given, and do not block.
type Hasher interface {
	// Name is the name of the algorithm.
	Name() string
	// Weak reports whether different prompts may be expected to collide, so that
	// the hashes must not name objects that outlive or leave the process.
	Weak() bool
	// Seed is the hash before the first chunk. Two Hashers with equal seeds
	// give equal hashes.
	Seed() Hash
	// Next is the hash of one chunk of any number of tokens behind prev, which
	// is Seed or came from this Hasher.
	Next(prev Hash, tokens []int32) Hash
	// AppendChain appends to dst the hashes of the full chunks of tokens, each
	// behind the one before, the first behind prev. It is Next for many chunks
	// and allocates nothing if dst has room for them. A chunk size below 1 has
	// no full chunks.
	AppendChain(dst []Hash, prev Hash, tokens []int32, chunk int) []Hash
}

// NewHasher makes the Hasher of an algorithm; the empty name is the default.
// The seed text replaces the fixed seed and belongs to SHA256CBOR alone; the
// empty text is no seed text. No environment variable has any influence.
func NewHasher(name, seed string) (Hasher, error) {
	if seed != "" && slices.Contains([]string{"", BLAKE3, Builtin}, name) {
		return nil, fmt.Errorf("kv: hash algorithm %s takes no seed text, only %s does", cmp.Or(name, BLAKE3), SHA256CBOR)
	}
	switch name {
	case "", BLAKE3:
		return newBLAKE3(), nil
	case SHA256CBOR:
		h, err := newSHA256CBOR(seed)
		if err != nil {
			return nil, err
		}
		return h, nil
	case Builtin:
		return newBuiltin(), nil
	default:
		return nil, fmt.Errorf("kv: unknown hash algorithm %q; known are %s", name, strings.Join(Algorithms(), ", "))
	}
}

// digester is one algorithm at work: it has buffers of its own and serves one
// goroutine.
type digester interface {
	digest(prev Hash, tokens []int32) Hash
}

// appendChain is AppendChain by means of d.
func appendChain(d digester, dst []Hash, prev Hash, tokens []int32, chunk int) []Hash {
	if chunk < 1 {
		return dst
	}
	n := len(tokens) / chunk
	dst = slices.Grow(dst, n)
	for i := range n {
		prev = d.digest(prev, tokens[i*chunk:(i+1)*chunk])
		dst = append(dst, prev)
	}
	return dst
}
