package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/tinylib/msgp/msgp"
)

// maxDepth is how deep containers of a frame may be nested; the body is the first.
const maxDepth = 32

var (
	errShort   = errors.New("it ends early")
	errDepth   = fmt.Errorf("it is nested deeper than %d", maxDepth)
	errLong    = errors.New("a list is longer than the frame could hold")
	errUnknown = errors.New("byte 0xc1 begins no value")
)

// appendInt appends n in its shortest form.
func appendInt(b []byte, n int64) []byte {
	if n >= 0 {
		return msgp.AppendUint64(b, uint64(n))
	}
	return msgp.AppendInt64(b, n)
}

// skip returns what is behind the value at the front of b, having checked the
// structure of all of it. The value is in depth containers.
func skip(b []byte, depth int) ([]byte, error) {
	size, children, err := head(b)
	switch {
	case err != nil:
		return nil, err
	case size > len(b):
		return nil, errShort
	}
	b = b[size:]
	switch {
	case children == 0:
		return b, nil
	case depth >= maxDepth:
		return nil, errDepth
	case children > len(b):
		return nil, errLong
	}
	for range children {
		if len(b) > 0 && (b[0] <= 0x7f || b[0] >= 0xe0) { // a small integer
			b = b[1:]
			continue
		}
		if b, err = skip(b, depth+1); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// head is the size of the value at the front of b without its children, and how
// many values these are. The size may be more than b has.
func head(b []byte) (size, children int, err error) {
	if len(b) == 0 {
		return 0, 0, errShort
	}
	switch c := b[0]; {
	case c <= 0x7f || c >= 0xe0:
		return 1, 0, nil
	case c <= 0x8f:
		return 1, 2 * int(c&0x0f), nil
	case c <= 0x9f:
		return 1, int(c & 0x0f), nil
	case c <= 0xbf:
		return 1 + int(c&0x1f), 0, nil
	default:
		return headLong(c, b[1:])
	}
}

// tooLong is more bytes or values than there are. Sizes that are made of it fit an int of
// 32 bits.
const tooLong = math.MaxInt32 / 4

// headLong is head of a value that begins with c, from 0xc0 on.
func headLong(c byte, b []byte) (size, children int, err error) {
	length := func(bytes int) int {
		if len(b) < bytes {
			return tooLong
		}
		switch bytes {
		case 1:
			return int(b[0])
		case 2:
			return int(binary.BigEndian.Uint16(b))
		default:
			return int(min(binary.BigEndian.Uint32(b), tooLong))
		}
	}
	switch c {
	case 0xc0, 0xc2, 0xc3:
		return 1, 0, nil
	case 0xc4, 0xd9:
		return 2 + length(1), 0, nil
	case 0xc5, 0xda:
		return 3 + length(2), 0, nil
	case 0xc6, 0xdb:
		return 5 + length(4), 0, nil
	case 0xc7, 0xc8, 0xc9: // ext with a length
		n := 1 << (c - 0xc7)
		return 2 + n + length(n), 0, nil
	case 0xca, 0xce, 0xd2:
		return 5, 0, nil
	case 0xcb, 0xcf, 0xd3:
		return 9, 0, nil
	case 0xcc, 0xd0:
		return 2, 0, nil
	case 0xcd, 0xd1:
		return 3, 0, nil
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8: // ext of a fixed size
		return 2 + 1<<(c-0xd4), 0, nil
	case 0xdc:
		return 3, length(2), nil
	case 0xdd:
		return 5, length(4), nil
	case 0xde:
		return 3, 2 * length(2), nil
	case 0xdf:
		return 5, 2 * length(4), nil
	default:
		return 0, 0, errUnknown
	}
}

// cursor reads values one after the other from bytes whose structure was checked.
// What it returns is part of these bytes.
type cursor struct {
	b   []byte
	own bool // b is a copy that nobody else has
}

func (c *cursor) mapLen() (int, error) {
	n, b, err := msgp.ReadMapHeaderBytes(c.b)
	c.b = b
	return int(n), err
}

func (c *cursor) listLen() (int, error) {
	n, b, err := msgp.ReadArrayHeaderBytes(c.b)
	c.b = b
	return int(n), err
}

func (c *cursor) text() ([]byte, error) {
	if len(c.b) > 0 && c.b[0]&0xe0 == 0xa0 { // a short one, as nearly all are
		if n := 1 + int(c.b[0]&0x1f); n <= len(c.b) {
			v := c.b[1:n]
			c.b = c.b[n:]
			return v, nil
		}
	}
	v, b, err := msgp.ReadStringZC(c.b)
	c.b = b
	return v, err
}

func (c *cursor) bytes() ([]byte, error) {
	v, b, err := msgp.ReadBytesZC(c.b)
	c.b = b
	return v, err
}

func (c *cursor) int() (int64, error) {
	v, b, err := msgp.ReadInt64Bytes(c.b)
	c.b = b
	return v, err
}

func (c *cursor) bool() (bool, error) {
	v, b, err := msgp.ReadBoolBytes(c.b)
	c.b = b
	return v, err
}

// float reads a float, or an integer in its place.
func (c *cursor) float() (float64, error) {
	switch msgp.NextType(c.b) { //nolint:exhaustive // others are reported below
	case msgp.IntType, msgp.UintType:
		v, err := c.int()
		return float64(v), err
	}
	v, b, err := msgp.ReadFloat64Bytes(c.b)
	c.b = b
	return v, err
}

// key reads a key of a map; one that is not a text is skipped and empty.
func (c *cursor) key() ([]byte, error) {
	if msgp.NextType(c.b) != msgp.StrType {
		return nil, c.skip()
	}
	return c.text()
}

func (c *cursor) skip() error {
	b, err := skip(c.b, 0)
	c.b = b
	return err
}

// raw reads any value as its bytes.
func (c *cursor) raw() ([]byte, error) {
	all := c.b
	err := c.skip()
	return all[:len(all)-len(c.b)], err
}

// isNil reports whether the next value is nil, which it skips if so.
func (c *cursor) isNil() bool {
	if len(c.b) == 0 || c.b[0] != 0xc0 {
		return false
	}
	c.b = c.b[1:]
	return true
}
