package l2test

import (
	"os"
	"testing"
)

func TestOnly(t *testing.T) {
	if !only(nil, guard) || !only([]byte{guard, guard}, guard) {
		t.Error("guards are taken for something else")
	}
	for i := range 3 {
		p := []byte{guard, guard, guard}
		p[i] = guard ^ 1
		if only(p, guard) {
			t.Errorf("%x is taken for guards", p)
		}
	}
}

// The buffer ends where memory ends: a byte more is a fault.
func TestBufferEndsAtItsGuard(t *testing.T) {
	if os.Getpagesize() > 1<<16 {
		t.Fatal("pages are larger than the test expects")
	}
	for _, capacity := range []int{1, 100, 4096, 10000} {
		b := newBuffer(t, capacity/2, capacity)
		if len(b.data) != capacity/2 || cap(b.data) != capacity {
			t.Errorf("len %d, cap %d, want %d, %d", len(b.data), cap(b.data), capacity/2, capacity)
		}
		fill(b.whole(), 1)
		b.check(t)
		b.front[len(b.front)-1]++
		if only(b.front, guard) {
			t.Error("a byte before the buffer is not seen")
		}
	}
}
