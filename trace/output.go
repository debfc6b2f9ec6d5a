package trace

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// bufferBytes is how much is collected before it is written.
const bufferBytes = 256 << 10

// output is the files of one recording. It has no lock: it belongs to the
// recorder's goroutine.
type output struct {
	files    files
	path     string // of the first part
	maxBytes int64
	maxFiles int
	header   Header // of the current part

	f     file     // nil: the next part could not be made yet
	buf   []byte   // whole frames that are not in the file
	size  int64    // of the file, which holds whole frames up to here
	dirty bool     // there may be something behind size
	held  bool     // the part has more than its header
	parts []string // that are there
	bytes int64    // in all parts
}

// open makes the first part.
func (o *output) open(exclusive bool) error { return o.start(o.path, exclusive) }

// start makes a part, with its header, or nothing.
func (o *output) start(path string, exclusive bool) error {
	f, err := o.files.create(path, exclusive)
	if err != nil {
		return err
	}
	head := appendHeader(nil, &o.header)
	if _, err := f.WriteAt(head, 0); err != nil {
		return errors.Join(err, f.Close(), o.files.remove(path))
	}
	o.f, o.size, o.dirty, o.held = f, int64(len(head)), false, false
	o.bytes += o.size
	o.parts = append(o.parts, path)
	return nil
}

// partPath is the path of a part.
func partPath(path string, part int) string {
	if part == 0 {
		return path
	}
	ext := filepath.Ext(path)
	return fmt.Sprintf("%s-%04d%s", strings.TrimSuffix(path, ext), part, ext)
}

// add takes a frame, which is written when the buffer is full or flush is called.
// If a part would become too large by it, the next one begins before. On an error the
// frame is not taken.
func (o *output) add(frame []byte) error {
	if o.maxBytes > 0 && o.size+int64(len(o.buf)+len(frame)) > o.maxBytes && o.held {
		if err := o.rotate(); err != nil {
			return err
		}
	}
	if len(o.buf) > 0 && len(o.buf)+len(frame) > bufferBytes {
		if err := o.flush(); err != nil {
			return err
		}
	}
	o.buf = append(o.buf, frame...)
	o.held = true
	return nil
}

// rotate ends a part and begins the next one.
func (o *output) rotate() error {
	if err := o.flush(); err != nil {
		return err
	}
	err := o.f.Close()
	o.f, o.size = nil, 0
	return errors.Join(err, o.next())
}

// next makes the next part.
func (o *output) next() error {
	o.header.Part++
	if err := o.start(partPath(o.path, o.header.Part), false); err != nil {
		o.header.Part--
		return err
	}
	for o.maxFiles > 0 && len(o.parts) > o.maxFiles {
		if err := o.files.remove(o.parts[0]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break // it is tried again with the next part
		}
		o.parts = o.parts[1:]
	}
	return nil
}

// flush writes the buffer. If that fails, the file is cut behind the last whole
// frame, and what is not in it stays in the buffer.
func (o *output) flush() error {
	if o.f == nil {
		if err := o.next(); err != nil {
			return err
		}
	}
	if err := o.clean(); err != nil {
		return err
	}
	if len(o.buf) == 0 {
		return nil
	}
	n, err := o.f.WriteAt(o.buf, o.size)
	if err == nil {
		o.take(len(o.buf))
		return nil
	}
	o.take(wholeFrames(o.buf[:n]))
	o.dirty = true
	return errors.Join(err, o.clean())
}

// take accounts for the first n bytes of the buffer, which are in the file.
func (o *output) take(n int) {
	o.size += int64(n)
	o.bytes += int64(n)
	o.buf = append(o.buf[:0], o.buf[n:]...)
}

// clean cuts away what a failed write has left.
func (o *output) clean() error {
	if !o.dirty {
		return nil
	}
	if err := o.f.Truncate(o.size); err != nil {
		return err
	}
	o.dirty = false
	return nil
}

// wholeFrames is how many bytes of b are whole frames.
func wholeFrames(b []byte) (n int) {
	for {
		size := frameSize(b[n:])
		if size == 0 {
			return n
		}
		n += size
	}
}

// frameSize is the size of the frame at the front of b with its length; 0 if it is
// not whole.
func frameSize(b []byte) int {
	if len(b) < prefixBytes {
		return 0
	}
	size := prefixBytes + int(bodySize(b))
	if size > len(b) {
		return 0
	}
	return size
}

// close writes what is left and closes the file. It reports what kept bytes from
// being durable as unsynced, and what kept them from the file as an error.
func (o *output) close() (unsynced, err error) {
	err = o.flush()
	if o.f == nil {
		return nil, err
	}
	unsynced = o.f.Sync()
	if e := o.files.syncDir(filepath.Dir(o.path)); unsynced == nil {
		unsynced = e
	}
	err = errors.Join(err, o.f.Close())
	o.f = nil
	return unsynced, err
}
