package fs

import (
	"cmp"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func osSystem() System {
	return System{
		Open:    openFile,
		Rename:  rename,
		Link:    func(from, to string) error { return retry(func() error { return unix.Link(from, to) }) },
		Remove:  func(path string) error { return retry(func() error { return unix.Unlink(path) }) },
		Mkdir:   func(path string) error { return unix.Mkdir(path, dirPerm) },
		Stat:    lstat,
		ReadDir: readDir,
		SyncDir: syncDir,
		SetTime: setTime,
		Usage:   usage,
	}
}

// retry calls f until no signal interrupts it.
func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// file is a descriptor. The runtime's poller can do nothing for regular files, so
// package os is not asked.
type file struct {
	fd   int
	mode Mode
}

// openFile does not follow a link that is the last part of path, and does not wait
// for the other end of a pipe that somebody has put there.
func openFile(path string, m Mode) (File, error) {
	flags := unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NONBLOCK
	if m.Create {
		flags |= unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL
	}
	if m.Direct {
		flags |= unix.O_DIRECT
	}
	f := &file{mode: m}
	err := retry(func() (err error) {
		f.fd, err = unix.Open(path, flags, filePerm)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (f *file) ReadAt(bufs [][]byte, offset int64) (int, error) {
	return unix.Preadv(f.fd, bufs, offset)
}

func (f *file) WriteAt(bufs [][]byte, offset int64) (int, error) {
	return unix.Pwritev(f.fd, bufs, offset)
}

func (f *file) Stat() (Info, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstat(f.fd, &st) })
	return info(&st), err
}

func (f *file) Sync() error { return retry(func() error { return unix.Fdatasync(f.fd) }) }

func (f *file) Buffered() error {
	flags, err := unix.FcntlInt(uintptr(f.fd), unix.F_GETFL, 0)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(f.fd), unix.F_SETFL, flags&^unix.O_DIRECT)
	}
	return err
}

// Close does not try again after a signal: the descriptor is gone then too.
func (f *file) Close() error {
	if err := unix.Close(f.fd); !errors.Is(err, unix.EINTR) {
		return err
	}
	return nil
}

func info(st *unix.Stat_t) Info {
	return Info{Size: st.Size, ModTime: time.Unix(st.Mtim.Unix()), Regular: st.Mode&unix.S_IFMT == unix.S_IFREG}
}

func lstat(path string) (Info, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Lstat(path, &st) }); err != nil {
		return Info{}, err
	}
	return info(&st), nil
}

func rename(from, to string, replace bool) error {
	var flags uint
	if !replace {
		flags = unix.RENAME_NOREPLACE
	}
	return retry(func() error { return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags) })
}

func readDir(path string, f ReadDirFunc) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		entries, err := d.ReadDir(512)
		for _, e := range entries {
			if !f(e.Name(), e.Type().IsRegular()) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func setTime(path string, at time.Time) error {
	ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(at.UnixNano())}
	return retry(func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, unix.AT_SYMLINK_NOFOLLOW) })
}

func usage(path string) (Usage, error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(path, &st) }); err != nil {
		return Usage{}, err
	}
	block := int64(cmp.Or(st.Frsize, st.Bsize)) //nolint:unconvert // they have other widths elsewhere
	return Usage{Size: int64(st.Blocks) * block, Free: int64(st.Bfree) * block, Avail: int64(st.Bavail) * block}, nil
}

// aligned is memory that begins on a page, for direct I/O.
func aligned(n int) ([]byte, error) {
	return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
}

func freeAligned(b []byte) error { return unix.Munmap(b) }
