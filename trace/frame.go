package trace

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxFrame is the longest frame in bytes: none longer is written, and one that
// claims to be is the damaged tail of a file.
const MaxFrame = 64 << 20

const (
	prefixBytes = 4         // the length in front of a body
	readBuffer  = 256 << 10 // of the input
	bodyStep    = 64 << 10  // memory that a body gets before its bytes are there
)

// frames reads length-prefixed frames.
type frames struct {
	r      *bufio.Reader
	buf    []byte // of a body that does not fit the buffer of r
	drop   int    // bytes of the last body, still in the buffer of r
	offset int64  // of the next frame
}

func newFrames(r io.Reader) *frames { return &frames{r: bufio.NewReaderSize(r, readBuffer)} }

// tornError says that the input ends, or cannot go on, within a frame.
type tornError struct {
	text string
	size int // that the frame claims, if it is above MaxFrame
}

func (e *tornError) Error() string { return e.text }

// next returns the body of the next frame, which is valid until the next call, and
// where the frame begins. The end of the input is io.EOF, a frame that is not
// whole a *tornError; other errors are those of the input.
func (f *frames) next() (body []byte, at int64, err error) {
	if f.drop > 0 {
		_, _ = f.r.Discard(f.drop) // it is there
		f.drop = 0
	}
	at = f.offset
	prefix, err := f.r.Peek(prefixBytes)
	if err != nil {
		if !errors.Is(err, io.EOF) {
			return nil, at, err
		}
		if len(prefix) == 0 {
			return nil, at, io.EOF
		}
		return nil, at, &tornError{text: fmt.Sprintf("truncated frame length prefix at offset %d", at)}
	}
	size := int(bodySize(prefix))
	if size > MaxFrame {
		return nil, at, &tornError{fmt.Sprintf("frame at offset %d claims %d bytes, the limit is %d", at, size, MaxFrame), size}
	}
	f.offset = at + prefixBytes + int64(size)
	if prefixBytes+size <= readBuffer {
		whole, err := f.r.Peek(prefixBytes + size)
		if err != nil {
			return nil, at, torn(err, at, len(whole)-prefixBytes, size)
		}
		f.drop = len(whole)
		return whole[prefixBytes:], at, nil
	}
	_, _ = f.r.Discard(prefixBytes)
	f.buf = f.buf[:0]
	for len(f.buf) < size {
		n := min(size-len(f.buf), max(len(f.buf), bodyStep))
		f.buf = append(f.buf, make([]byte, n)...)
		got, err := io.ReadFull(f.r, f.buf[len(f.buf)-n:])
		if err != nil {
			return nil, at, torn(err, at, len(f.buf)-n+got, size)
		}
	}
	return f.buf, at, nil
}

// torn is what is wrong with a body that could not be read.
func torn(err error, at int64, got, size int) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return &tornError{text: fmt.Sprintf("truncated frame body at offset %d (got %d of %d)", at, got, size)}
}

// bodySize is the length that b begins with.
func bodySize(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// putLength puts the length in front of the body that begins at start behind room for it.
func putLength(b []byte, start int) {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-prefixBytes))
}
