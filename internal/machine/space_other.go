//go:build !linux

package machine

import (
	"errors"
	"fmt"
)

// ReadSpace is not known here.
func ReadSpace(dir string) (Space, error) {
	return Space{}, fmt.Errorf("machine: statfs %s: %w", dir, errors.ErrUnsupported)
}
