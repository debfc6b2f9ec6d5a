//go:build !linux

package pool

import (
	"errors"
	"fmt"
	"io/fs"
)

type segment struct{}

func createSegment(_, name string, _ fs.FileMode, _ int64) (*segment, error) {
	return nil, fmt.Errorf("creating shared memory %s: %w", name, errors.ErrUnsupported)
}

func (*segment) reserve(int64) ([]byte, error) { return nil, errors.ErrUnsupported }

func (*segment) allocate(int64, int64) error { return errors.ErrUnsupported }

func (*segment) close() error { return nil }
