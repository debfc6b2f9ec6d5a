package slab

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a transparent huge page and their alignment.
const hugePage = 2 << 20

// advise asks for transparent huge pages beneath a group of records: visits to a
// million of them miss the TLB less. The advice covers the huge pages that belong to
// the group as a whole and nothing beside it. A kernel without them refuses.
//
// The memory stays that of the Go heap: the garbage collector frees it with the
// records.
func advise[T any](group []T) {
	start := uintptr(unsafe.Pointer(unsafe.SliceData(group)))
	end := start + uintptr(len(group))*unsafe.Sizeof(group[0])
	from, to := (start+hugePage-1)&^(hugePage-1), end&^(hugePage-1)
	if from < to {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_HUGEPAGE)
	}
}
