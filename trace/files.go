package trace

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// fileMode is that of recordings: keys name tenants and models.
const fileMode = 0o600

// files is the file system as recorders see it.
type files interface {
	// create makes a file, or empties the one that is there; exclusive: only makes one.
	create(path string, exclusive bool) (file, error)
	remove(path string) error
	// syncDir makes the entries of a directory durable.
	syncDir(path string) error
}

// file is one open file.
type file interface {
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// systemFiles is the operating system's.
type systemFiles struct{}

func (systemFiles) create(path string, exclusive bool) (file, error) {
	flag := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if exclusive {
		flag = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.OpenFile(path, flag, fileMode)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(fileMode); err != nil && !errors.Is(err, os.ErrPermission) {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (systemFiles) remove(path string) error { return os.Remove(path) }

func (systemFiles) syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
