package kv

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"unicode/utf8"
)

// The heads of RFC 8949 that are used here: the major types in the upper 3
// bits, and two whole values.
const (
	cborUint  = 0 << 5
	cborBytes = 2 << 5
	cborText  = 3 << 5
	cborArray = 4 << 5
	cborZero  = 0x00 // the number 0
	cborNull  = 0xf6
)

// sha256Hasher is SHA-256 of the canonical CBOR of [prev, [tokens…], null].
type sha256Hasher struct {
	pooled
	seed Hash
}

func newSHA256CBOR(seed string) (*sha256Hasher, error) {
	if !utf8.ValidString(seed) {
		return nil, errors.New("kv: the hash seed is not valid UTF-8")
	}
	h := &sha256Hasher{pooled: newPooled(func() digester { return &sha256Digester{h: sha256.New()} })}
	if seed == "" {
		// The prefix of the seed alone is the number 0.
		h.seed = Hash32(sha256.Sum256([]byte{cborArray | 3, cborZero, cborArray | 1, cborZero, cborNull}))
	} else {
		h.seed = Hash32(sha256.Sum256(append(appendCBORHead(nil, cborText, uint64(len(seed))), seed...)))
	}
	return h, nil
}

func (h *sha256Hasher) Name() string { return SHA256CBOR }
func (h *sha256Hasher) Weak() bool   { return false }
func (h *sha256Hasher) Seed() Hash   { return h.seed }

type sha256Digester struct {
	h   hash.Hash
	buf [2048]byte // more than a default chunk
	sum [MaxHashLen]byte
}

func (d *sha256Digester) digest(prev Hash, tokens []int32) Hash {
	const longest = 5 + 1 // bytes of a token and of the null behind the last
	d.h.Reset()
	b := append(d.buf[:0], cborArray|3)
	b = appendCBORHead(b, cborBytes, uint64(prev.n))
	b = prev.Append(b)
	b = appendCBORHead(b, cborArray, uint64(len(tokens)))
	for _, t := range tokens {
		if len(b) > len(d.buf)-longest {
			_, _ = d.h.Write(b) // never fails
			b = d.buf[:0]
		}
		b = appendCBORHead(b, cborUint, uint64(uint32(t)))
	}
	_, _ = d.h.Write(append(b, cborNull))
	d.h.Sum(d.sum[:0])
	return Hash32(d.sum)
}

// appendCBORHead appends a major type with its number in the shortest form.
func appendCBORHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return append(b, major|25, byte(n>>8), byte(n))
	case n < 1<<32:
		return append(b, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, major|27), n)
	}
}
