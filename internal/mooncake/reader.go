package mooncake

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
)

// MaxLine is the longest line that is accepted, in bytes.
const MaxLine = 16 << 20

// LineError says what is wrong with which line of a trace.
type LineError struct {
	Line int // from 1
	Err  error
}

// Error names the line and the reason.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns the reason.
func (e *LineError) Unwrap() error { return e.Err }

// Read yields the requests of a trace, plain or compressed with gzip, in the
// order of its lines and while it is read. A request of n tokens must have one id
// per blockTokens tokens, rounded up. Unknown keys and blank lines are skipped.
//
// After the first error, which is a *LineError unless blockTokens is not
// positive, nothing more is yielded. The sequence can be used once; it does not
// close r. Its requests share no memory.
func Read(r io.Reader, blockTokens int) iter.Seq2[Request, error] {
	return func(yield func(Request, error) bool) {
		if blockTokens < 1 {
			yield(Request{}, fmt.Errorf("block tokens: must be at least 1, got %d", blockTokens))
			return
		}
		n := 0
		fail := func(err error) { yield(Request{}, &LineError{Line: n + 1, Err: err}) }
		plain, err := uncompressed(r)
		if err != nil {
			fail(err)
			return
		}
		lines := lines{r: plain}
		for ; ; n++ {
			text, err := lines.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				fail(err)
				return
			}
			if len(bytes.TrimSpace(text)) == 0 {
				continue
			}
			request, err := parse(text, blockTokens)
			if err != nil {
				fail(err)
				return
			}
			if !yield(request, nil) {
				return
			}
		}
	}
}

// uncompressed looks at the first bytes for the mark of gzip.
func uncompressed(r io.Reader) (*bufio.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	mark, err := b.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.Equal(mark, []byte{0x1f, 0x8b}) {
		return b, nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	return bufio.NewReaderSize(z, 64<<10), nil
}
