package machine

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// ReadSpace asks the file system of a directory.
func ReadSpace(dir string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Space{}, fmt.Errorf("machine: statfs %s: %w", dir, err)
	}
	block := int64(st.Bsize) //nolint:unconvert // it has other widths elsewhere
	return Space{Total: int64(st.Blocks) * block, Free: int64(st.Bavail) * block}, nil
}
