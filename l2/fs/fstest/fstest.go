// Package fstest lets the file system of a test fail: full, read-only, slow, without
// direct I/O, or whatever else an operating system may say.
package fstest

import (
	"time"

	"github.com/lmcache-go/lmcache/l2/fs"
)

// Op is one operation of [fs.System].
type Op string

// Operations, by the functions of [fs.System] and the methods of [fs.File].
const (
	Open     Op = "open"
	Read     Op = "read"
	Write    Op = "write"
	FStat    Op = "fstat"
	Sync     Op = "sync"
	Buffered Op = "buffered"
	Close    Op = "close"
	Rename   Op = "rename"
	Link     Op = "link"
	Remove   Op = "remove"
	Mkdir    Op = "mkdir"
	Stat     Op = "stat"
	ReadDir  Op = "readdir"
	SyncDir  Op = "syncdir"
	SetTime  Op = "settime"
	Usage    Op = "usage"
)

// Call is one call of the operating system.
type Call struct {
	Op     Op
	Path   string // of Rename and Link: the new name
	Mode   fs.Mode
	Bytes  int  // wanted by a Read or Write
	NoRepl bool // of Rename: it must not replace
}

// Fault is what becomes of a call. The zero value lets it pass.
type Fault struct {
	Err  error // it fails with this, and is not made unless Most is set
	Most int   // a Read or Write moves only so many bytes
}

// Wrap is sys with every call shown to hook before it is made. The hook is called by
// many goroutines at once and may wait. [fs.OS] is the usual sys.
func Wrap(sys fs.System, hook func(Call) Fault) fs.System {
	w := sys
	w.Open = func(path string, m fs.Mode) (fs.File, error) {
		if f := hook(Call{Op: Open, Path: path, Mode: m}); f.Err != nil {
			return nil, f.Err
		}
		f, err := sys.Open(path, m)
		if err != nil {
			return nil, err
		}
		return &file{f, path, m, hook}, nil
	}
	w.Rename = func(from, to string, replace bool) error {
		if f := hook(Call{Op: Rename, Path: to, NoRepl: !replace}); f.Err != nil {
			return f.Err
		}
		return sys.Rename(from, to, replace)
	}
	w.Link = func(from, to string) error {
		if f := hook(Call{Op: Link, Path: to}); f.Err != nil {
			return f.Err
		}
		return sys.Link(from, to)
	}
	one := func(op Op, f func(string) error) func(string) error {
		return func(path string) error {
			if fault := hook(Call{Op: op, Path: path}); fault.Err != nil {
				return fault.Err
			}
			return f(path)
		}
	}
	w.Remove, w.Mkdir, w.SyncDir = one(Remove, sys.Remove), one(Mkdir, sys.Mkdir), one(SyncDir, sys.SyncDir)
	w.Stat = func(path string) (fs.Info, error) {
		if f := hook(Call{Op: Stat, Path: path}); f.Err != nil {
			return fs.Info{}, f.Err
		}
		return sys.Stat(path)
	}
	w.ReadDir = func(path string, yield fs.ReadDirFunc) error {
		if f := hook(Call{Op: ReadDir, Path: path}); f.Err != nil {
			return f.Err
		}
		return sys.ReadDir(path, yield)
	}
	w.SetTime = func(path string, at time.Time) error {
		if f := hook(Call{Op: SetTime, Path: path}); f.Err != nil {
			return f.Err
		}
		return sys.SetTime(path, at)
	}
	w.Usage = func(path string) (fs.Usage, error) {
		if f := hook(Call{Op: Usage, Path: path}); f.Err != nil {
			return fs.Usage{}, f.Err
		}
		return sys.Usage(path)
	}
	return w
}

type file struct {
	fs.File

	path string
	mode fs.Mode
	hook func(Call) Fault
}

func (f *file) move(op Op, bufs [][]byte, offset int64, move func([][]byte, int64) (int, error)) (int, error) {
	total := 0
	for _, b := range bufs {
		total += len(b)
	}
	fault := f.hook(Call{Op: op, Path: f.path, Mode: f.mode, Bytes: total})
	if fault.Most > 0 {
		n, err := move(head(bufs, fault.Most), offset)
		if fault.Err != nil {
			err = fault.Err
		}
		return n, err
	}
	if fault.Err != nil {
		return 0, fault.Err
	}
	return move(bufs, offset)
}

// head is the first n bytes of bufs.
func head(bufs [][]byte, n int) [][]byte {
	var out [][]byte
	for _, b := range bufs {
		b = b[:min(len(b), n)]
		if n -= len(b); len(b) > 0 {
			out = append(out, b)
		}
	}
	return out
}

func (f *file) ReadAt(bufs [][]byte, offset int64) (int, error) {
	return f.move(Read, bufs, offset, f.File.ReadAt)
}

func (f *file) WriteAt(bufs [][]byte, offset int64) (int, error) {
	return f.move(Write, bufs, offset, f.File.WriteAt)
}

func (f *file) call(op Op, do func() error) error {
	if fault := f.hook(Call{Op: op, Path: f.path, Mode: f.mode}); fault.Err != nil {
		return fault.Err
	}
	return do()
}

func (f *file) Stat() (fs.Info, error) {
	var i fs.Info
	err := f.call(FStat, func() (err error) { i, err = f.File.Stat(); return err })
	return i, err
}

func (f *file) Sync() error { return f.call(Sync, f.File.Sync) }

// Buffered also ends what Mode.Direct of later calls says.
func (f *file) Buffered() error {
	err := f.call(Buffered, f.File.Buffered)
	if err == nil {
		f.mode.Direct = false
	}
	return err
}

// Close closes the file even if it fails, as operating systems do.
func (f *file) Close() error {
	fault := f.hook(Call{Op: Close, Path: f.path, Mode: f.mode})
	if err := f.File.Close(); err != nil {
		return err
	}
	return fault.Err
}
