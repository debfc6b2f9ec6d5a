package l2bench

import "golang.org/x/sys/unix"

// hugePage is the size of a huge page.
const hugePage = 2 << 20

// memory is n bytes that begin on a page, used once so that the first round does not
// pay for it.
func memory(n int64, huge bool) ([]byte, error) {
	flags := unix.MAP_PRIVATE | unix.MAP_ANON | unix.MAP_POPULATE
	if huge {
		flags |= unix.MAP_HUGETLB
		n = (n + hugePage - 1) / hugePage * hugePage
	}
	return unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, flags)
}

// release gives memory back. What cannot be given back stays until the process ends.
func release(mem []byte) { _ = unix.Munmap(mem) }
