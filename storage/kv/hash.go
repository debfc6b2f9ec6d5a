package kv

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// MaxHashLen is the longest chunk hash in bytes (a 32-byte digest).
const MaxHashLen = 32

// Hash is the hash of a chunk: 1 to 32 bytes whose length is part of the
// identity. It is a comparable value; the zero Hash is not valid.
type Hash struct {
	b [MaxHashLen]byte // zero from n on, so that == compares what Equal compares
	n uint8
}

// HashOf copies b, which must have 1 to 32 bytes.
func HashOf(b []byte) (Hash, error) {
	var h Hash
	if len(b) < 1 || len(b) > MaxHashLen {
		return h, errHashLen(len(b))
	}
	h.n = uint8(len(b))
	copy(h.b[:], b)
	return h, nil
}

func errHashLen(n int) error {
	return fmt.Errorf("kv: a chunk hash has 1 to %d bytes, not %d", MaxHashLen, n)
}

// Hash32 is HashOf for a full 32-byte digest, which cannot fail.
func Hash32(b [MaxHashLen]byte) Hash { return Hash{b: b, n: MaxHashLen} }

// ParseHash reads the hexadecimal form: 2 to 64 digits of either case, an even
// number of them.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if len(s)%2 != 0 || len(s) < 2 || len(s) > 2*MaxHashLen {
		return h, fmt.Errorf("kv: a chunk hash has an even number of 2 to %d hex digits, not %d", 2*MaxHashLen, len(s))
	}
	n, err := hex.Decode(h.b[:], []byte(s))
	if err != nil {
		return Hash{}, fmt.Errorf("kv: chunk hash: %w", err)
	}
	h.n = uint8(n)
	return h, nil
}

// Len is the number of bytes; 0 for the zero Hash.
func (h Hash) Len() int { return int(h.n) }

// IsZero reports whether h is the zero Hash.
func (h Hash) IsZero() bool { return h.n == 0 }

// Equal is h == o, for libraries that compare values by method.
func (h Hash) Equal(o Hash) bool { return h == o }

// Array returns the bytes, zero-padded on the right to 32, and their number.
func (h Hash) Array() ([MaxHashLen]byte, int) { return h.b, int(h.n) }

// Lead is the first 8 bytes as a big-endian number, those behind the end as 0: a
// fingerprint of the hash. It copies nothing else.
func (h *Hash) Lead() uint64 { return binary.BigEndian.Uint64(h.b[:8]) }

// Append appends the Len bytes of h to dst.
func (h Hash) Append(dst []byte) []byte { return append(dst, h.b[:h.n]...) }

// String is the lower-case hexadecimal form; empty for the zero Hash.
func (h Hash) String() string { return hex.EncodeToString(h.b[:h.n]) }

// MarshalText is the lower-case hexadecimal form.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h.b[:h.n]), nil }

// UnmarshalText is ParseHash; an empty text gives the zero Hash.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*h = Hash{}
		return nil
	}
	p, err := ParseHash(string(text))
	if err != nil {
		return err
	}
	*h = p
	return nil
}
