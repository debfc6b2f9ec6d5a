//go:build linux || darwin

package pool

import "golang.org/x/sys/unix"

// mapPrivate reserves addresses for private memory, without access.
func mapPrivate(size int64) ([]byte, error) {
	return unix.Mmap(-1, 0, int(size), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
}

// protect gives access to reserved memory.
func protect(mem []byte) error { return unix.Mprotect(mem, unix.PROT_READ|unix.PROT_WRITE) }

func unmap(mem []byte) error { return unix.Munmap(mem) }
