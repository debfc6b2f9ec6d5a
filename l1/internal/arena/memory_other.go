//go:build !linux && !darwin

package arena

import (
	"errors"
	"fmt"
	"runtime"
)

func mapMemory(size int64) ([]byte, error) {
	return nil, fmt.Errorf("arena: mapping %d bytes on %s: %w", size, runtime.GOOS, errors.ErrUnsupported)
}

func unmapMemory([]byte) error { return nil }
