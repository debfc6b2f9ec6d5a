package l2test

import "testing"

// What buffers hold where nobody should write, before a load, and after a call.
const (
	guard  = 0xa5
	unread = 0x5e
	poison = 0xdb
)

// physical is what sizes of objects are rounded up to, as those of host memory are.
const physical = 4096

// buffer is memory between guards: bytes before it, and behind its capacity a page
// that cannot be touched where the system allows that, else more bytes.
type buffer struct {
	front []byte
	data  []byte // len as asked for, capacity as asked for
	back  []byte
}

// newBuffer returns a zeroed buffer, which lives until the test ends.
func newBuffer(tb testing.TB, length, capacity int) *buffer {
	tb.Helper()
	b := allocate(tb, length, capacity)
	fill(b.front, guard)
	fill(b.back, guard)
	return b
}

// check fails the test if something was written around the buffer.
func (b *buffer) check(tb testing.TB) {
	tb.Helper()
	if !only(b.front, guard) {
		tb.Error("the call wrote before the start of its buffer")
	}
	if !only(b.back, guard) {
		tb.Error("the call wrote beyond the capacity of its buffer")
	}
}

// whole is the buffer up to its capacity.
func (b *buffer) whole() []byte { return b.data[:cap(b.data)] }

func fill(p []byte, with byte) {
	for i := range p {
		p[i] = with
	}
}

// only tells whether p holds nothing but one byte.
func only(p []byte, b byte) bool {
	for _, c := range p {
		if c != b {
			return false
		}
	}
	return true
}

func roundUp(n, step int) int { return (n + step - 1) / step * step }
