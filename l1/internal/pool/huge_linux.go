package pool

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// mapHuge maps private memory of pages of 2 MiB. The kernel sets all of them
// aside or refuses.
func mapHuge(size int64) ([]byte, error) {
	const log2 = 21 << unix.MAP_HUGE_SHIFT
	size = (size + hugePage - 1) &^ (hugePage - 1)
	return unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_HUGETLB|log2)
}

// advise asks for transparent huge pages: first touch is about four times as fast
// with them. A kernel without them refuses, which changes nothing else.
func advise(mem []byte) { _ = unix.Madvise(mem, unix.MADV_HUGEPAGE) }

// populate maps pages for writing (Linux 5.14); errors.ErrUnsupported where the
// kernel cannot.
func populate(mem []byte) error {
	for {
		switch err := unix.Madvise(mem, unix.MADV_POPULATE_WRITE); {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		case errors.Is(err, unix.EINVAL):
			return errors.ErrUnsupported
		default:
			return fmt.Errorf("populating %d bytes: %w", len(mem), err)
		}
	}
}
