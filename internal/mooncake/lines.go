package mooncake

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

var errLong = fmt.Errorf("longer than %d bytes", MaxLine)

// lines splits a stream. Unlike a bufio.Scanner it never returns the beginning of
// a line whose end could not be read.
type lines struct {
	r    *bufio.Reader
	long []byte // of the current line, if it did not fit the reader's buffer
}

// next returns a line without its end, valid until the next call. The error is
// io.EOF after the last line.
func (l *lines) next() ([]byte, error) {
	l.long = l.long[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		seen := len(l.long) + len(part)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && seen > 0: // the last line needs no end
		case err != nil:
			return nil, err
		default:
			part = part[:len(part)-1]
			seen--
		}
		if seen > MaxLine {
			return nil, errLong
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			l.long = append(l.long, part...)
		case len(l.long) == 0:
			return part, nil
		default:
			l.long = append(l.long, part...)
			return l.long, nil
		}
	}
}
