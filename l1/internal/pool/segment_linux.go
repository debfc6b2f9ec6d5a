package pool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// segment is the file of a named pool. Its lock is held until it is closed.
type segment struct {
	file *os.File
	path string
}

// tries bounds how often another process may come between looking at a name and
// taking it.
const tries = 16

// createSegment makes the file of a segment, of size bytes without blocks, in the
// place of what a dead process has left there.
func createSegment(dir, name string, mode fs.FileMode, size int64) (*segment, error) {
	path := filepath.Join(dir, name)
	for range tries {
		f, err := openNew(path)
		if errors.Is(err, fs.ErrExist) {
			if err := removeStale(path); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("creating shared memory: %w", err)
		}
		if f == nil { // somebody took it for stale before it was locked
			continue
		}
		s := &segment{file: f, path: path}
		if err := s.shape(mode, size); err != nil {
			return nil, errors.Join(err, s.close())
		}
		return s, nil
	}
	return nil, &InUseError{path}
}

// openNew creates and locks a file; nil if it was lost to another process.
func openNew(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	ours, err := claim(path, f)
	if !ours {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// claim locks a file that was just created; false: it was lost to another process,
// which took it for stale before it was locked.
func claim(path string, f *os.File) (bool, error) {
	switch err := lock(f); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return false, nil
	case err != nil:
		return false, errors.Join(fmt.Errorf("locking %s: %w", path, err), os.Remove(path))
	}
	return leadsTo(path, f), nil
}

// removeStale unlinks a file whose lock nobody holds.
func removeStale(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("shared memory of that name exists and cannot be opened: %w", err)
	}
	defer func() { _ = f.Close() }()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return errors.Join(fmt.Errorf("%s exists and is no shared memory", path), err)
	}
	switch err := lock(f); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return &InUseError{path}
	case err != nil:
		return fmt.Errorf("locking %s: %w", path, err)
	case !leadsTo(path, f):
		return nil // another process has replaced it
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing stale shared memory: %w", err)
	}
	return nil
}

func lock(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// leadsTo reports whether a name is that of an open file.
func leadsTo(path string, f *os.File) bool {
	named, err1 := os.Lstat(path)
	open, err2 := f.Stat()
	return err1 == nil && err2 == nil && os.SameFile(named, open)
}

// shape gives the file its mode, whatever the umask, and its size.
func (s *segment) shape(mode fs.FileMode, size int64) error {
	if err := s.file.Chmod(mode); err != nil {
		return fmt.Errorf("setting the mode of shared memory: %w", err)
	}
	if err := s.file.Truncate(size); err != nil {
		return fmt.Errorf("setting the size of shared memory: %w", err)
	}
	return nil
}

// reserve maps the file without access.
func (s *segment) reserve(size int64) ([]byte, error) {
	return unix.Mmap(int(s.file.Fd()), 0, int(size), unix.PROT_NONE, unix.MAP_SHARED|unix.MAP_NORESERVE)
}

// allocate gets blocks for a part of the file.
func (s *segment) allocate(off, n int64) error {
	for {
		err := unix.Fallocate(int(s.file.Fd()), 0, off, n)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("allocating %d bytes of shared memory in %s: %w", n, filepath.Dir(s.path), err)
		}
		return nil
	}
}

// close unlinks the file, if the name is still its own, and lets go of the lock.
func (s *segment) close() error {
	var err error
	if leadsTo(s.path, s.file) {
		err = os.Remove(s.path)
	}
	return errors.Join(err, s.file.Close())
}
