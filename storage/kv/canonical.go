package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// canonicalVersion is the first byte of the canonical form.
const canonicalVersion = 0x01

// MaxCanonicalLen is the length of the longest canonical form in bytes.
const MaxCanonicalLen = 1 + 2 + MaxModelBytes + 4 + 2 + 2 + MaxSaltBytes + 1 + MaxHashLen

// AppendCanonical appends the canonical bytes of k to dst: 01, u16 model length,
// model, u32 rank, u16 group, u16 salt length, salt, u8 hash length, hash, all
// numbers little-endian. A key that is not valid has none: dst comes back as it
// was, with the error of Validate.
func (k Key) AppendCanonical(dst []byte) ([]byte, error) {
	if err := k.Validate(); err != nil {
		return dst, err
	}
	dst = append(dst, canonicalVersion)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(k.Model)))
	dst = append(dst, k.Model...)
	dst = binary.LittleEndian.AppendUint32(dst, k.Rank)
	dst = binary.LittleEndian.AppendUint16(dst, k.Group)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(k.Salt)))
	dst = append(dst, k.Salt...)
	dst = append(dst, k.Hash.n)
	return k.Hash.Append(dst), nil
}

var errCanonicalShort = errors.New("kv: canonical key: it ends early")

// ParseCanonical reads exactly the canonical bytes of one key. Every length is
// checked before anything is copied; b is not kept, and the result is valid.
func ParseCanonical(b []byte) (Key, error) {
	if len(b) > MaxCanonicalLen {
		return Key{}, fmt.Errorf("kv: canonical key: %d bytes, the limit is %d", len(b), MaxCanonicalLen)
	}
	if len(b) == 0 {
		return Key{}, errCanonicalShort
	}
	if b[0] != canonicalVersion {
		return Key{}, fmt.Errorf("kv: canonical key: unknown version %#02x", b[0])
	}
	var k Key
	model, b, ok := cutText(b[1:])
	if !ok || len(b) < 6 {
		return Key{}, errCanonicalShort
	}
	k.Rank, k.Group = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:])
	salt, b, ok := cutText(b[6:])
	if !ok || len(b) < 1 || len(b)-1 < int(b[0]) {
		return Key{}, errCanonicalShort
	}
	if over := len(b) - 1 - int(b[0]); over > 0 {
		return Key{}, fmt.Errorf("kv: canonical key: %d bytes behind its end", over)
	}
	var err error
	if k.Hash, err = HashOf(b[1:]); err != nil {
		return Key{}, err
	}
	k.Model, k.Salt = string(model), string(salt)
	if err := k.Validate(); err != nil {
		return Key{}, err
	}
	return k, nil
}

// cutText splits a u16 length and that many bytes from the front of b.
func cutText(b []byte) (text, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.LittleEndian.Uint16(b))
	if len(b)-2 < n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}
