//go:build linux

package fs_test

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fs"
)

// before is memory of n bytes that ends where the next page cannot be written.
func before(t *testing.T, n int) []byte {
	t.Helper()
	page := os.Getpagesize()
	whole := (n + page - 1) / page * page
	mem, err := unix.Mmap(-1, 0, whole+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(mem); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mprotect(mem[whole:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	return mem[whole-n : whole : whole]
}

// Files that are too long, too short or padded never touch what lies behind a buffer,
// and padding that has been read is zero again.
func TestREQ_S67_LoadStaysInItsBuffer(t *testing.T) {
	const size = 5000
	for _, o := range []fs.Options{{}, {DirectIO: true}, {Raw: true}, {Raw: true, DirectIO: true}} {
		o.BasePath = t.TempDir()
		s := open(t, o)
		k := key("m", 1)
		for _, length := range []int{0, 1, 4095, 4096, size - 1, size, size + 1, 8192, 8193, 4096 + size - 1, 4096 + size, 12287, 12288, 12289, 65536} {
			mustStore(t, s, k, size)
			path := fs.Path(s, k)
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			file = append(file, bytes.Repeat([]byte{0xee}, 65536)...)[:length]
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, room := range []int{size, 8192} {
				data := before(t, room)
				for i := range data {
					data[i] = 0x5e
				}
				it := []l2.Item{{Key: k, Head: make([]byte, s.Format().HeadLen(k, "")), Data: data[:size]}}
				if err := s.Load(t.Context(), it); err != nil {
					t.Fatal(err)
				}
				whole := length >= 4096+size && length <= 12288 && !o.Raw || o.Raw && (length == size || length == 8192)
				if got := it[0].Err == nil && it[0].N == size; got != whole {
					t.Errorf("raw %v, direct %v: a file of %d bytes: %d bytes, %v", o.Raw, o.DirectIO, length, it[0].N, it[0].Err)
				}
				if whole && !bytes.Equal(data[:size], payload(k, size)) {
					t.Errorf("raw %v, direct %v: a file of %d bytes: other bytes", o.Raw, o.DirectIO, length)
				}
				if pad := data[size:]; bytes.IndexByte(pad, 0xee) >= 0 {
					t.Errorf("raw %v, direct %v: a file of %d bytes: its padding is kept", o.Raw, o.DirectIO, length)
				}
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
