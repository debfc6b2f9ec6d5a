package l2test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/lmcache-go/lmcache/l2"
)

// PlainClient tests the plain client of an adapter on an empty store, which is empty
// afterwards.
func PlainClient(t *testing.T, a l2.Adapter) {
	t.Helper()
	p, ok := l2.AbilityOf[l2.Plain](a)
	if !ok {
		t.Fatalf("%T has no plain client", a)
	}
	c := p.Plain()
	var values, back [][]byte
	for i := range 5 {
		values = append(values, bytes.Repeat(fmt.Appendf(nil, "value %d ", i), 1000))
		back = append(back, make([]byte, len(values[i])))
	}
	for range 2 { // the second time over what is there
		if err := c.Write(t.Context(), 0, values[:2]); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Write(t.Context(), 2, values[2:]); err != nil {
		t.Fatal(err)
	}
	if err := c.Read(t.Context(), 1, back[1:]); err != nil {
		t.Fatal(err)
	}
	for i := range back[1:] {
		if !bytes.Equal(back[i+1], values[i+1]) {
			t.Errorf("value %d is another one", i+1)
		}
	}
	if err := c.Read(t.Context(), 0, [][]byte{make([]byte, len(values[0])+1)}); err == nil || l2.Unreachable(err) {
		t.Errorf("a value that is shorter than was said: %v", err)
	}
	if s, ok := l2.AbilityOf[l2.Scanner](a); ok {
		for e, err := range s.Scan(t.Context()) {
			t.Errorf("the adapter finds %v, %v", e.Key, err)
		}
	}
	if err := c.Remove(t.Context(), len(values)); err != nil {
		t.Fatal(err)
	}
	if err := c.Read(t.Context(), 0, back[:1]); l2.ReasonOf(err) != l2.ReasonNotFound || l2.Unreachable(err) {
		t.Errorf("a value that was removed: %v", err)
	}
}
