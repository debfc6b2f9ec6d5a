package kv

import (
	"encoding/binary"
	"math/bits"
)

// builtinHasher is the 64-bit hash of the tuple (prev, (tokens…), None) in
// CPython 3.12, as 8 bytes big-endian in two's complement. Tuples are hashed by
// the lane mixing of xxHash64 without its final avalanche; integers are reduced
// modulo the Mersenne prime 2^61 − 1.
type builtinHasher struct{ seed Hash }

const (
	tuplePrime1 = 11400714785074694791
	tuplePrime2 = 14029467366897019727
	tuplePrime5 = 2870177450012600261
	tupleLen    = tuplePrime5 ^ 3527539 // what the length is mixed with
	tupleTaken  = 1546275796            // stands for −1, which is CPython's error value
	noneHash    = 0xfca86420
	intModulus  = 1<<61 - 1
)

func newBuiltin() *builtinHasher {
	h := &builtinHasher{}
	h.seed = h.Next(Hash{n: 8}, []int32{0})
	return h
}

func (h *builtinHasher) Name() string { return Builtin }
func (h *builtinHasher) Weak() bool   { return true }
func (h *builtinHasher) Seed() Hash   { return h.seed }

func (h *builtinHasher) Next(prev Hash, tokens []int32) Hash { return h.digest(prev, tokens) }

func (h *builtinHasher) AppendChain(dst []Hash, prev Hash, tokens []int32, chunk int) []Hash {
	return appendChain(h, dst, prev, tokens, chunk)
}

func (h *builtinHasher) digest(prev Hash, tokens []int32) Hash {
	inner := uint64(tuplePrime5)
	for _, t := range tokens {
		inner = tupleLane(inner, uint64(uint32(t))) // smaller than the modulus
	}
	acc := uint64(tuplePrime5)
	acc = tupleLane(acc, intHash(int64(binary.BigEndian.Uint64(prev.b[:8]))))
	acc = tupleLane(acc, tupleEnd(inner, len(tokens)))
	acc = tupleLane(acc, noneHash)
	out := Hash{n: 8}
	binary.BigEndian.PutUint64(out.b[:8], tupleEnd(acc, 3))
	return out
}

func tupleLane(acc, lane uint64) uint64 {
	return bits.RotateLeft64(acc+lane*tuplePrime2, 31) * tuplePrime1
}

func tupleEnd(acc uint64, n int) uint64 {
	acc += uint64(n) ^ tupleLen
	if acc == 1<<64-1 {
		return tupleTaken
	}
	return acc
}

// intHash is the hash of an integer: sign(x) · (|x| mod (2^61 − 1)), and −2 for
// −1.
func intHash(x int64) uint64 {
	if x >= 0 {
		return uint64(x) % intModulus
	}
	h := -(-uint64(x) % intModulus)
	if h == 1<<64-1 {
		return 1<<64 - 2
	}
	return h
}
