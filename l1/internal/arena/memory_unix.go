//go:build linux || darwin

package arena

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mapMemory maps private anonymous memory. Its pages read as zero and take no
// physical memory until they are written.
func mapMemory(size int64) ([]byte, error) {
	if int64(int(size)) != size {
		return nil, fmt.Errorf("arena: %d bytes are more than this machine can address", size)
	}
	mem, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("arena: mapping %d bytes (%.1f GiB): %w", size, float64(size)/(1<<30), err)
	}
	advise(mem)
	return mem, nil
}

func unmapMemory(mem []byte) error {
	if mem == nil {
		return nil
	}
	if err := unix.Munmap(mem); err != nil {
		return fmt.Errorf("arena: unmapping %d bytes: %w", len(mem), err)
	}
	return nil
}
