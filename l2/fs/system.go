package fs

import (
	"errors"
	"syscall"
	"time"

	"github.com/lmcache-go/lmcache/l2"
)

// System is what the store asks of the operating system; all access to files goes
// through it. Fields that are nil are the operating system's own. Tests replace some
// to let them fail. The functions are called by many goroutines at once; errors may
// be system error numbers, bare or wrapped.
type System struct {
	// Open opens a regular file. A link, and a missing file, are errors.
	Open func(path string, mode Mode) (File, error)

	// Rename gives a file another name. Without replace it fails with [os.ErrExist] if
	// that is taken, or with [errors.ErrUnsupported] or EINVAL if it cannot tell.
	Rename func(from, to string, replace bool) error

	// Link gives a file a second name, and fails with [os.ErrExist] if that is taken.
	Link func(from, to string) error

	Remove  func(path string) error                // a file
	Mkdir   func(path string) error                // one folder; its parent must be there
	Stat    func(path string) (Info, error)        // of a link: of itself
	ReadDir func(path string, f ReadDirFunc) error // in any order
	SyncDir func(path string) error                // forces the names in a folder to the disk

	// SetTime sets the time of modification.
	SetTime func(path string, at time.Time) error

	// Usage is the space of the file system of a folder.
	Usage func(path string) (Usage, error)
}

// ReadDirFunc is told one entry of a folder. It returns false to end the reading.
type ReadDirFunc = func(name string, regular bool) bool

// Mode says how a file is opened. The zero value is for reading.
type Mode struct {
	Create bool // for writing; it must not exist
	Direct bool // around the page cache
}

// File is an open file. ReadAt and WriteAt move some of the bytes, at least one
// unless they fail or, for ReadAt, the file ends. Buffered ends direct I/O.
type File interface {
	ReadAt(bufs [][]byte, offset int64) (int, error)
	WriteAt(bufs [][]byte, offset int64) (int, error)
	Stat() (Info, error)
	Sync() error
	Buffered() error
	Close() error
}

// Info describes a file.
type Info struct {
	Size    int64
	ModTime time.Time
	Regular bool
}

// Usage is the space of a file system in bytes.
type Usage struct {
	Size  int64
	Free  int64 // of which a part may be for the superuser only
	Avail int64 // for us
}

// OS is the operating system.
func OS() System { return System{}.fill() }

func (s System) fill() System {
	own := osSystem()
	if s.Open == nil {
		s.Open = own.Open
	}
	if s.Rename == nil {
		s.Rename = own.Rename
	}
	if s.Link == nil {
		s.Link = own.Link
	}
	if s.Remove == nil {
		s.Remove = own.Remove
	}
	if s.Mkdir == nil {
		s.Mkdir = own.Mkdir
	}
	if s.Stat == nil {
		s.Stat = own.Stat
	}
	if s.ReadDir == nil {
		s.ReadDir = own.ReadDir
	}
	if s.SyncDir == nil {
		s.SyncDir = own.SyncDir
	}
	if s.SetTime == nil {
		s.SetTime = own.SetTime
	}
	if s.Usage == nil {
		s.Usage = own.Usage
	}
	return s
}

// Processes that share a folder may run as different users of one group, if their
// umask lets them. Nobody else may read what prompts have left.
const (
	filePerm = 0o660
	dirPerm  = 0o770
)

// cause is the Err value of package l2 for an error of the operating system.
func cause(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return l2.ErrNoSpace
	case errors.Is(err, syscall.EFBIG), errors.Is(err, syscall.ENAMETOOLONG):
		return l2.ErrTooLarge
	case errors.Is(err, syscall.ETIMEDOUT):
		return l2.ErrTimeout
	case errors.Is(err, syscall.ENOTCONN), errors.Is(err, syscall.EHOSTDOWN), errors.Is(err, syscall.EHOSTUNREACH):
		return errUnreachable
	default:
		return l2.ErrIO
	}
}

var errUnreachable = errors.Join(l2.ErrIO, l2.ErrConnection)

// unsupported reports whether the kernel or the file system refused a way of doing
// something, rather than the thing.
func unsupported(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL)
}
