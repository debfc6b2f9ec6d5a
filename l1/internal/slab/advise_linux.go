package slab

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a transparent huge page and their alignment.
const hugePage = 2 << 20

// advise asks for transparent huge pages beneath the pages of a group, with which
// visits to a million of them miss the TLB less. It covers the huge pages that
// belong to the group as a whole and nothing beside it.
//
// It is called when the group has been filled: the kernel then makes huge pages of
// it in the background. If it were advised before, the first visit to every 2 MiB
// would wait for them to be cleared, which took up to 5 ms. A kernel without huge
// pages refuses, which changes nothing else.
//
// The memory stays that of the Go heap: the garbage collector frees it with the
// records.
func advise[T any](first *[pageLen]T, pages int) {
	start := uintptr(unsafe.Pointer(first)) //nolint:gosec // an address for the kernel; nothing is accessed through it
	end := start + uintptr(pages)*unsafe.Sizeof(*first)
	from, to := (start+hugePage-1)&^(hugePage-1), end&^(hugePage-1)
	if from < to {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_HUGEPAGE)
	}
}
