//go:build unix

package l2test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// allocate puts the end of the capacity at the end of a page, before one that is
// protected. If the capacity is a multiple of a page, so is the address.
func allocate(tb testing.TB, length, capacity int) *buffer {
	tb.Helper()
	page := os.Getpagesize()
	body := roundUp(max(capacity, 1), page)
	mem, err := unix.Mmap(-1, 0, body+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := unix.Munmap(mem); err != nil {
			tb.Error(err)
		}
	})
	end := page + body
	if err := unix.Mprotect(mem[end:], unix.PROT_NONE); err != nil {
		tb.Fatal(err)
	}
	start := end - capacity
	return &buffer{front: mem[:start:start], data: mem[start : start+length : end]}
}
