package trace_test

import (
	"encoding/binary"
	"math"
	"testing"
)

// value is a decoded msgpack value with its exact kind.
type value struct {
	kind   string // of the encoding: fixstr is "str", "float64", "bin", "uint", "int", "nil", "bool", "map", "array"
	text   string
	number int64
	float  float64
	list   []value // elements, or keys and values in turn
}

// strictDecode decodes a whole body by the letter of the msgpack specification, and
// fails if a value has a shorter form than the one it is written in. It shares
// nothing with the package.
func strictDecode(t testing.TB, b []byte) value {
	t.Helper()
	v, rest := strictValue(t, b)
	if len(rest) > 0 {
		t.Fatalf("%d bytes behind the value", len(rest))
	}
	return v
}

func strictValue(t testing.TB, b []byte) (value, []byte) {
	t.Helper()
	if len(b) == 0 {
		t.Fatal("a value is missing")
	}
	c, b := b[0], b[1:]
	sized := func(width int, least uint64) int {
		var n uint64
		for _, x := range b[:width] {
			n = n<<8 | uint64(x)
		}
		b = b[width:]
		if n < least {
			t.Fatalf("0x%x with %d has a shorter form", c, n)
		}
		return int(n)
	}
	bytes := func(kind string, n int) (value, []byte) { return value{kind: kind, text: string(b[:n])}, b[n:] }
	list := func(kind string, n int) (value, []byte) {
		v := value{kind: kind}
		for range n {
			var e value
			e, b = strictValue(t, b)
			v.list = append(v.list, e)
		}
		return v, b
	}
	number := func(kind string, width int, least uint64) (value, []byte) {
		return value{kind: kind, number: int64(sized(width, least))}, b
	}
	signed := func(width int, most int64) (value, []byte) {
		n := int64(sized(width, 0))
		n = n << (64 - 8*width) >> (64 - 8*width)
		if n > most {
			t.Fatalf("0x%x with %d has a shorter form", c, n)
		}
		return value{kind: "int", number: n}, b
	}
	switch {
	case c <= 0x7f:
		return value{kind: "uint", number: int64(c)}, b
	case c <= 0x8f:
		return list("map", 2*int(c&15))
	case c <= 0x9f:
		return list("array", int(c&15))
	case c <= 0xbf:
		return bytes("str", int(c&31))
	case c >= 0xe0:
		return value{kind: "int", number: int64(int8(c))}, b
	}
	switch c {
	case 0xc0:
		return value{kind: "nil"}, b
	case 0xc2, 0xc3:
		return value{kind: "bool", number: int64(c & 1)}, b
	case 0xc4:
		return bytes("bin", sized(1, 0))
	case 0xc5:
		return bytes("bin", sized(2, 1<<8))
	case 0xc6:
		return bytes("bin", sized(4, 1<<16))
	case 0xca:
		return value{kind: "float32"}, b[4:]
	case 0xcb:
		return value{kind: "float64", float: math.Float64frombits(binary.BigEndian.Uint64(b))}, b[8:]
	case 0xcc:
		return number("uint", 1, 1<<7)
	case 0xcd:
		return number("uint", 2, 1<<8)
	case 0xce:
		return number("uint", 4, 1<<16)
	case 0xcf:
		return number("uint", 8, 1<<32)
	case 0xd0:
		return signed(1, -33)
	case 0xd1:
		return signed(2, -129)
	case 0xd2:
		return signed(4, -32769)
	case 0xd3:
		return signed(8, -1<<31-1)
	case 0xd9:
		return bytes("str", sized(1, 32))
	case 0xda:
		return bytes("str", sized(2, 1<<8))
	case 0xdb:
		return bytes("str", sized(4, 1<<16))
	case 0xdc:
		return list("array", sized(2, 16))
	case 0xdd:
		return list("array", sized(4, 1<<16))
	case 0xde:
		return list("map", 2*sized(2, 16))
	case 0xdf:
		return list("map", 2*sized(4, 1<<16))
	}
	t.Fatalf("0x%x is none of the values of a trace", c)
	return value{}, nil
}

// names are the keys of a map in order.
func (v *value) names() (list []string) {
	for i := 0; i+1 < len(v.list) && v.kind == "map"; i += 2 {
		list = append(list, v.list[i].text)
	}
	return list
}

// get is the value of a key; nil if there is none.
func (v *value) get(name string) *value {
	for i := 0; i+1 < len(v.list) && v.kind == "map"; i += 2 {
		if v.list[i].text == name {
			return &v.list[i+1]
		}
	}
	return nil
}

// all are the values of a key at any depth.
func (v *value) all(name string) (list []*value) {
	if x := v.get(name); x != nil {
		list = append(list, x)
	}
	for i := range v.list {
		list = append(list, v.list[i].all(name)...)
	}
	return list
}
