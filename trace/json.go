package trace

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"

	"github.com/tinylib/msgp/msgp"
)

// appendJSON appends the next value of c, whose structure was checked, as JSON;
// bytes become hexadecimal texts, numbers without a JSON form null.
func appendJSON(dst []byte, c *cursor) []byte {
	switch msgp.NextType(c.b) { //nolint:exhaustive // the rest is null
	case msgp.MapType:
		n, _ := c.mapLen()
		dst = append(dst, '{')
		for i := range n {
			if i > 0 {
				dst = append(dst, ',')
			}
			if msgp.NextType(c.b) == msgp.StrType {
				dst = appendJSON(dst, c)
			} else {
				dst = appendQuoted(dst, string(appendJSON(nil, c)))
			}
			dst = appendJSON(append(dst, ':'), c)
		}
		return append(dst, '}')
	case msgp.ArrayType:
		n, _ := c.listLen()
		dst = append(dst, '[')
		for i := range n {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, c)
		}
		return append(dst, ']')
	case msgp.StrType:
		v, _ := c.text()
		return appendQuoted(dst, string(v))
	case msgp.BinType:
		v, _ := c.bytes()
		return append(hex.AppendEncode(append(dst, '"'), v), '"')
	case msgp.IntType, msgp.UintType:
		if v, b, err := msgp.ReadUint64Bytes(c.b); err == nil {
			c.b = b
			return strconv.AppendUint(dst, v, 10)
		}
		v, _ := c.int()
		return strconv.AppendInt(dst, v, 10)
	case msgp.BoolType:
		v, _ := c.bool()
		return strconv.AppendBool(dst, v)
	case msgp.Float32Type, msgp.Float64Type:
		v, _ := c.float()
		return appendFloat(dst, v)
	}
	_ = c.skip()
	return append(dst, "null"...)
}

func appendFloat(dst []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}

func appendQuoted(dst []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // a text has a JSON form
	return append(dst, quoted...)
}
