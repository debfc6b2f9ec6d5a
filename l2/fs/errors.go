package fs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

var (
	errExist    = fs.ErrExist
	errNotExist = fs.ErrNotExist
)

// bare is err without the operation and the path that package os puts before it.
func bare(err error) error {
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		return pe.Err
	case errors.As(err, &le):
		return le.Err
	}
	return err
}

// failed is the error of one operation on one file, with the cause that package l2
// knows it by.
func failed(op, path string, err error) error {
	err = bare(err)
	return fmt.Errorf("l2/fs: %s %s: %w: %w", op, path, cause(err), err)
}
