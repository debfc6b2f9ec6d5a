package fake

import (
	"fmt"
	"strconv"
)

// span is the range of addresses of a buffer.
type span struct{ lo, hi uintptr }

// spanOf is the span of b. The address is read from the text form of a pointer,
// which needs no package unsafe; that is slow, so only pins and the detector ask.
func spanOf(b []byte) span {
	if len(b) == 0 {
		return span{}
	}
	text := fmt.Sprintf("%p", &b[0])
	lo, err := strconv.ParseUint(text, 0, strconv.IntSize)
	if err != nil {
		panic("fake: the text form of a pointer is no number: " + text)
	}
	return span{lo: uintptr(lo), hi: uintptr(lo) + uintptr(len(b))}
}

func (s span) overlaps(o span) bool { return s.lo < o.hi && o.lo < s.hi }

func (s span) bytes() int64 { return int64(s.hi - s.lo) }
