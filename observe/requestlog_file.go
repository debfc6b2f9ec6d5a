package observe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Defaults of RotatingFileOptions.
const (
	DefaultRotateSize  = 100 << 20
	DefaultRotateFiles = 10
)

// RotatingFileOptions bound what a RotatingFile leaves on disk; the zero value is the
// default.
type RotatingFileOptions struct {
	MaxSize  int64 // bytes per file; 0: DefaultRotateSize. A longer line has a file of its own
	MaxFiles int   // including the one that is written; 0: DefaultRotateFiles
}

// Validate returns everything that is wrong with o, or nil.
func (o RotatingFileOptions) Validate() error {
	var errs []error
	if o.MaxSize < 0 {
		errs = append(errs, fmt.Errorf("maximal size %d: must be at least 1", o.MaxSize))
	}
	if o.MaxFiles < 0 {
		errs = append(errs, fmt.Errorf("maximal number of files %d: must be at least 1", o.MaxFiles))
	}
	return errors.Join(errs...)
}

// RotatingFile is a file of lines that is renamed to PATH.1 when it is full, what was
// PATH.1 to PATH.2, and so on; the oldest is removed. Files of earlier runs count, and
// lines are added to the last one. It starts no goroutine and belongs to one at a
// time; one process writes to a path.
type RotatingFile struct {
	path string
	o    RotatingFileOptions
	f    *os.File // nil: to be opened by the next write
	size int64    // of its whole lines
	torn bool     // it has more than that
	shut bool     // by Close

	write func(*os.File, []byte) (int, error) // os.File.Write, except in tests
}

// OpenRotatingFile opens or creates the file at path, which must be a regular one, and
// removes files of earlier runs that are too many. A last line that was cut short by
// the end of an earlier run is removed.
func OpenRotatingFile(path string, o RotatingFileOptions) (*RotatingFile, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("observe: %s: %w", path, err)
	}
	if o.MaxSize == 0 {
		o.MaxSize = DefaultRotateSize
	}
	if o.MaxFiles == 0 {
		o.MaxFiles = DefaultRotateFiles
	}
	r := &RotatingFile{path: path, o: o, write: (*os.File).Write}
	if err := r.open(); err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	if err := r.prune(); err != nil {
		return nil, fmt.Errorf("observe: %w", errors.Join(err, r.Close()))
	}
	return r, nil
}

// open opens the file behind its last whole line.
func (r *RotatingFile) open() error {
	if about, err := os.Stat(r.path); err == nil && !about.Mode().IsRegular() { // a pipe would wait for a reader
		return fmt.Errorf("%s: is not a regular file", r.path)
	}
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	about, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	size := about.Size()
	whole, err := wholeLines(f, size)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r.f, r.size, r.torn = f, whole, whole != size
	return nil
}

// tornTail is how far back an unfinished line is looked for.
const tornTail = 64 << 10

// wholeLines is the size of a file up to the end of its last line. Something that does
// not look like the beginning of a record is left alone.
func wholeLines(f *os.File, size int64) (int64, error) {
	tail := make([]byte, min(size, tornTail))
	from := size - int64(len(tail))
	if _, err := f.ReadAt(tail, from); err != nil {
		return 0, err
	}
	end := bytes.LastIndexByte(tail, '\n') + 1
	if rest := tail[end:]; len(rest) == 0 || end == 0 && from > 0 || rest[0] != '{' {
		return size, nil
	}
	return from + int64(end), nil
}

// prune removes the files that are beyond the number.
func (r *RotatingFile) prune() error {
	dir, base := filepath.Split(r.path)
	list, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range list {
		digits, ok := strings.CutPrefix(e.Name(), base+".")
		n, err := strconv.Atoi(digits)
		if ok && err == nil && strconv.Itoa(n) == digits && n >= r.o.MaxFiles && e.Type().IsRegular() {
			errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// Write appends p, which consists of whole lines, to as many files as it needs. It
// returns how many bytes of whole lines were written; what a full disk has cut short
// is taken back.
func (r *RotatingFile) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		if err := r.ready(); err != nil {
			return done, err
		}
		part := fitting(p[done:], r.o.MaxSize-r.size)
		if len(part) == 0 && r.size > 0 {
			if err := r.rotate(); err != nil {
				return done, err
			}
			continue
		}
		if len(part) == 0 { // not even in an empty file
			part = p[done : done+lineEnd(p[done:])]
		}
		n, err := r.append(part)
		if done += n; err != nil {
			return done, err
		}
	}
	return done, nil
}

// fitting is the leading lines of p that have no more than room bytes.
func fitting(p []byte, room int64) []byte {
	if int64(len(p)) <= room {
		return p
	}
	return p[:bytes.LastIndexByte(p[:max(room, 0)], '\n')+1]
}

// lineEnd is the length of the first line of p.
func lineEnd(p []byte) int {
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		return i + 1
	}
	return len(p)
}

// ready opens the file if it is not, and takes back what is no whole line.
func (r *RotatingFile) ready() error {
	if r.shut {
		return os.ErrClosed
	}
	if r.f == nil {
		if err := r.open(); err != nil {
			return err
		}
	}
	if r.torn {
		if err := r.f.Truncate(r.size); err != nil {
			return err
		}
		r.torn = false
	}
	return nil
}

// append writes to the file and returns how many bytes of whole lines it took.
func (r *RotatingFile) append(p []byte) (int, error) {
	n, err := r.write(r.f, p)
	whole := n
	if n < len(p) {
		whole = bytes.LastIndexByte(p[:n], '\n') + 1
		if err == nil {
			err = io.ErrShortWrite
		}
	}
	r.size += int64(whole)
	if r.torn = whole < n; r.torn {
		_ = r.ready() // else the next write tries again
	}
	return whole, err
}

// rotate makes room for a new file. If it cannot, nothing is written: the number of
// files and their sizes stay bounded.
func (r *RotatingFile) rotate() error {
	f := r.f
	r.f = nil // whatever happens, the next write opens the path
	if err := f.Close(); err != nil {
		return err
	}
	if r.o.MaxFiles == 1 {
		return os.Remove(r.path)
	}
	for n := r.o.MaxFiles - 1; n > 0; n-- {
		from := r.path
		if n > 1 {
			from = r.name(n - 1)
		}
		if err := os.Rename(from, r.name(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// name is that of the n-th file before the one that is written.
func (r *RotatingFile) name(n int) string { return r.path + "." + strconv.Itoa(n) }

// Close closes the file. It can be called twice.
func (r *RotatingFile) Close() error {
	r.shut = true
	if r.f == nil {
		return nil
	}
	f := r.f
	r.f = nil
	return f.Close()
}
