package machine

import (
	"io/fs"
	"strconv"
	"strings"
)

// HugePage is the size of the huge pages that FreeHugePages counts, in bytes.
const HugePage = 2 << 20

// FreeHugePages is the number of huge pages that nobody uses and nobody has
// reserved. ok is false if that cannot be read.
func FreeHugePages(root fs.FS) (n int64, ok bool) {
	const dir = "sys/kernel/mm/hugepages/hugepages-2048kB/"
	free, ok := readCount(root, dir+"free_hugepages")
	if !ok {
		return 0, false
	}
	promised, _ := readCount(root, dir+"resv_hugepages") // counted as free until they are touched
	return max(free-promised, 0), true
}

func readCount(root fs.FS, name string) (n int64, ok bool) {
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err = strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	return n, err == nil
}
