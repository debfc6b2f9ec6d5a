package trace

import (
	"errors"
	"io"

	"github.com/lmcache-go/lmcache/storage"
)

// WriterOptions configures a Writer.
type WriterOptions struct {
	Format    Format
	Args      Args
	Config    string  // of the storage manager, as JSON, for the header; may be empty
	Name      string  // name and version of the program, for the header of the extended format ("lmcache-go")
	MonoStart float64 // of the header, in seconds
	WallStart float64 // the same
}

// Writer writes calls as a recording that nobody made, from another kind of trace for
// example. It belongs to one goroutine.
type Writer struct {
	w     io.Writer
	o     WriterOptions
	enc   encoder
	b     []byte
	calls int64
	mono  float64
	err   error // the first one; nothing is written after it
}

// NewWriter writes the header.
func NewWriter(w io.Writer, o WriterOptions) (*Writer, error) {
	if o.Format > Plain || o.Args > Args056 {
		return nil, errors.New("trace: Format, Args: unknown")
	}
	if o.Name == "" {
		o.Name = "lmcache-go"
	}
	out := &Writer{w: w, o: o, enc: encoder{format: o.Format, args: o.Args}}
	out.write(appendHeader(nil, &Header{
		Level: LevelStorage, FormatVersion: FormatVersion, SchemaVersion: SchemaVersion,
		MonoStart: o.MonoStart, WallStart: o.WallStart, Config: o.Config, Digest: Digest(o.Config),
		Extended: o.Format == Extended, Writer: o.Name,
	}), nil)
	return out, out.err
}

// Call writes a call that was entered at mono seconds after the beginning, and gives
// it the number that it returns. The number that c has is not looked at.
func (w *Writer) Call(c *storage.Call, mono float64) (n int64, err error) {
	call := *c
	call.N = w.calls
	w.calls++
	w.mono = max(w.mono, mono)
	w.write(w.enc.appendCall(w.b[:0], mono, w.o.WallStart+mono, &call, nil, nil, 0))
	return call.N, w.err
}

// Close writes the end record, which the plain format does not have. It does not
// close what is written to.
func (w *Writer) Close() error {
	if w.o.Format == Extended {
		w.write(w.enc.appendEnd(w.b[:0], w.mono, w.o.WallStart+w.mono, End{Records: w.calls}, nil, 0))
	}
	return w.err
}

func (w *Writer) write(frame []byte, err error) {
	if w.err != nil {
		return
	}
	w.b = frame
	if w.err = err; err == nil {
		_, w.err = w.w.Write(frame)
	}
}
