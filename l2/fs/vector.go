package fs

import (
	"errors"
	"io"
	"syscall"
)

// pieceBytes is the most that one call of the system moves, so that a call that is
// not wanted any more ends soon. 2 MiB objects are one piece.
const pieceBytes = 8 << 20

// moveFunc is File.ReadAt or File.WriteAt.
type moveFunc func(bufs [][]byte, offset int64) (int, error)

// move moves all of bufs from the start of a file on, with as many calls as that
// takes, and returns the bytes moved. It takes bufs apart. The first call moves at
// most lead bytes, if that is not 0. At the end of the file it stops. stop is asked
// between calls; refused is told an error and says whether to go on nevertheless.
func move(f moveFunc, bufs [][]byte, lead int64, stop func() error, refused func(error) bool) (int64, error) {
	var done int64
	limit := int64(pieceBytes)
	if lead > 0 && lead < limit {
		limit = lead
	}
	for len(bufs) > 0 {
		if done > 0 {
			if err := stop(); err != nil {
				return done, err
			}
		}
		n, err := f(piece(bufs, limit), done)
		if n > 0 {
			done += int64(n)
			bufs = advance(bufs, n)
		}
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil && unsupported(err) && refused(err):
			continue
		case err != nil:
			return done, err
		case n <= 0 && len(bufs) > 0:
			return done, io.ErrUnexpectedEOF
		}
		limit = pieceBytes
	}
	return done, nil
}

// piece is the first limit bytes of bufs.
func piece(bufs [][]byte, limit int64) [][]byte {
	for i, b := range bufs {
		if int64(len(b)) > limit {
			short := append(make([][]byte, 0, i+1), bufs[:i]...)
			if limit > 0 {
				short = append(short, b[:limit])
			}
			return short
		}
		limit -= int64(len(b))
	}
	return bufs
}

// advance is bufs without its first n bytes and without empty buffers at its start.
func advance(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n > 0 {
		bufs[0] = bufs[0][n:]
	}
	return bufs
}
