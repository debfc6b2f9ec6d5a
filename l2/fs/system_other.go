//go:build !linux

package fs

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// osSystem does without direct I/O, without vectored calls and without a rename that
// does not replace.
func osSystem() System {
	return System{
		Open: openFile,
		Rename: func(from, to string, replace bool) error {
			if !replace {
				return errors.ErrUnsupported
			}
			return os.Rename(from, to)
		},
		Link:    os.Link,
		Remove:  os.Remove,
		Mkdir:   func(path string) error { return unix.Mkdir(path, dirPerm) },
		Stat:    lstat,
		ReadDir: readDir,
		SyncDir: syncDir,
		SetTime: func(path string, at time.Time) error { return os.Chtimes(path, time.Time{}, at) },
		Usage:   usage,
	}
}

type file struct{ f *os.File }

func openFile(path string, m Mode) (File, error) {
	if m.Direct {
		return nil, errors.ErrUnsupported
	}
	flags := os.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK
	if m.Create {
		flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	}
	f, err := os.OpenFile(path, flags, filePerm)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

// first is the first buffer with bytes in it.
func first(bufs [][]byte) []byte {
	for _, b := range bufs {
		if len(b) > 0 {
			return b
		}
	}
	return nil
}

func (f file) ReadAt(bufs [][]byte, offset int64) (int, error) {
	n, err := f.f.ReadAt(first(bufs), offset)
	if n > 0 || errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (f file) WriteAt(bufs [][]byte, offset int64) (int, error) {
	return f.f.WriteAt(first(bufs), offset)
}

func (f file) Stat() (Info, error) {
	i, err := f.f.Stat()
	if err != nil {
		return Info{}, err
	}
	return Info{Size: i.Size(), ModTime: i.ModTime(), Regular: i.Mode().IsRegular()}, nil
}

func (f file) Sync() error     { return f.f.Sync() }
func (f file) Buffered() error { return nil }
func (f file) Close() error    { return f.f.Close() }

func lstat(path string) (Info, error) {
	i, err := os.Lstat(path)
	if err != nil {
		return Info{}, err
	}
	return Info{Size: i.Size(), ModTime: i.ModTime(), Regular: i.Mode().IsRegular()}, nil
}

func readDir(path string, f ReadDirFunc) error {
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		if !f(e.Name(), e.Type().IsRegular()) {
			return nil
		}
	}
	return err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func usage(path string) (Usage, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return Usage{}, err
	}
	block := int64(st.Bsize)
	return Usage{Size: int64(st.Blocks) * block, Free: int64(st.Bfree) * block, Avail: int64(st.Bavail) * block}, nil
}

func aligned(n int) ([]byte, error) { return make([]byte, n), nil }
func freeAligned([]byte) error      { return nil }
