package storage_test

import (
	"bytes"
	"testing"

	"github.com/lmcache-go/lmcache/storage"
)

func TestBitmapBytes(t *testing.T) {
	for _, c := range []struct {
		n    int
		set  []int
		want []byte
	}{
		{0, nil, nil},
		{1, []int{0}, []byte{1}},
		{8, []int{0, 7}, []byte{0x81}},
		{9, []int{1, 8}, []byte{2, 1}},
		{70, []int{0, 63, 64, 69}, []byte{1, 0, 0, 0, 0, 0, 0, 0x80, 0x21}},
	} {
		b := storage.NewBitmap(c.n)
		for _, i := range c.set {
			b.Set(i)
		}
		got := b.AppendBytes([]byte("x"))
		if !bytes.Equal(got, append([]byte("x"), c.want...)) {
			t.Errorf("%d positions, %v set: % x, want % x", c.n, c.set, got[1:], c.want)
		}
		back := storage.BitmapOf(got[1:], c.n)
		if back.Len() != c.n || back.Count() != len(c.set) {
			t.Errorf("%d positions, %v set: read back with %d of %d", c.n, c.set, back.Count(), back.Len())
		}
		for _, i := range c.set {
			if !back.Has(i) {
				t.Errorf("%d positions: %d is not set any more", c.n, i)
			}
		}
	}
	if b := storage.BitmapOf([]byte{0xff}, 3); b.Count() != 3 {
		t.Errorf("bits behind the end are set: %d", b.Count())
	}
	if b := storage.BitmapOf([]byte{1}, 100); b.Len() != 100 || b.Count() != 1 {
		t.Errorf("short bytes: %d of %d", b.Count(), b.Len())
	}
}
