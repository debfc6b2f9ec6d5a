package kv

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrNotKey is what ParseKey's errors wrap. A listing that meets other people's
// names skips them by it.
var ErrNotKey = errors.New("kv: not the text form of a key")

// sep stands between the parts of the text form; no part contains it.
const sep = "@"

// String is the text form:
//
//	<model>@<rank, 8 hex digits>@<group, hex>@<hash, hex>[@<salt>]
//
// in lower case, the salt only if there is one. Two valid keys have equal text
// forms only if they are equal.
func (k Key) String() string {
	b := make([]byte, 0, len(k.Model)+len(k.Salt)+len("@01000100@ffff@@")+2*MaxHashLen)
	return string(k.appendText(b))
}

func (k Key) appendText(b []byte) []byte {
	b = append(append(b, k.Model...), sep...)
	b = hex.AppendEncode(b, []byte{byte(k.Rank >> 24), byte(k.Rank >> 16), byte(k.Rank >> 8), byte(k.Rank)})
	b = append(b, sep...)
	b = strconv.AppendUint(b, uint64(k.Group), 16)
	b = append(b, sep...)
	b = hex.AppendEncode(b, k.Hash.b[:k.Hash.n])
	if k.Salt != "" {
		b = append(append(b, sep...), k.Salt...)
	}
	return b
}

// ParseKey reads the text form: 4 parts or, with a salt, 5; 8 hex digits of
// rank, 1 to 4 of group, an even number of 2 to 64 of hash, of either case.
// Everything else gives an error that wraps ErrNotKey. The result is valid.
func ParseKey(s string) (Key, error) {
	parts := strings.Count(s, sep) + 1
	if parts != 4 && parts != 5 {
		return Key{}, fmt.Errorf("%w: it has %d parts", ErrNotKey, parts)
	}
	var k Key
	var rank, group, hash string
	var salted bool
	k.Model, s, _ = strings.Cut(s, sep)
	rank, s, _ = strings.Cut(s, sep)
	group, s, _ = strings.Cut(s, sep)
	hash, k.Salt, salted = strings.Cut(s, sep)
	if salted && k.Salt == "" {
		return Key{}, fmt.Errorf("%w: the salt is empty", ErrNotKey)
	}
	if len(rank) != 8 {
		return Key{}, fmt.Errorf("%w: the rank has %d digits, not 8", ErrNotKey, len(rank))
	}
	if len(group) < 1 || len(group) > 4 {
		return Key{}, fmt.Errorf("%w: the group has %d digits, not 1 to 4", ErrNotKey, len(group))
	}
	r, err := strconv.ParseUint(rank, 16, 32)
	if err != nil {
		return Key{}, fmt.Errorf("%w: rank: %w", ErrNotKey, err)
	}
	g, err := strconv.ParseUint(group, 16, 16)
	if err != nil {
		return Key{}, fmt.Errorf("%w: group: %w", ErrNotKey, err)
	}
	k.Rank, k.Group = uint32(r), uint16(g)
	if k.Hash, err = ParseHash(hash); err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrNotKey, err)
	}
	if err := k.Validate(); err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrNotKey, err)
	}
	return k, nil
}
