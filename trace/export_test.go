package trace

import "github.com/lmcache-go/lmcache/storage"

// What the tests outside of the package need of its inside.

// Encoder is the encoder.
type Encoder struct {
	e        encoder
	outcomes []byte
}

// NewEncoder makes one.
func NewEncoder(f Format, a Args) *Encoder { return &Encoder{e: encoder{format: f, args: a}} }

// AppendCall encodes a call without outcomes.
func (e *Encoder) AppendCall(b []byte, mono, wall float64, c *Call) ([]byte, error) {
	return e.e.appendCall(b, mono, wall, &c.Call, c.Rows, nil, 0)
}

// AppendCallWith encodes a call with outcomes.
func (e *Encoder) AppendCallWith(b []byte, mono, wall float64, c *storage.Call, done ...storage.CallDone) ([]byte, error) {
	var o []byte
	for i := range done {
		o = appendOutcome(o, &done[i])
	}
	return e.e.appendCall(b, mono, wall, c, nil, o, len(done))
}

// AppendGap encodes a gap record.
func (e *Encoder) AppendGap(b []byte, mono, wall float64, g *Gap) ([]byte, error) {
	return e.e.appendGap(b, mono, wall, g, nil, 0)
}

// AppendEnd encodes an end record.
func (e *Encoder) AppendEnd(b []byte, mono, wall float64, end End) ([]byte, error) {
	return e.e.appendEnd(b, mono, wall, end, nil, 0)
}

// AppendHeader encodes a header.
func AppendHeader(b []byte, h *Header) []byte { return appendHeader(b, h) }

// Frames cuts a stream into frames with their prefixes.
func Frames(stream []byte) (list [][]byte) {
	for len(stream) > 0 {
		n := prefixBytes + int(uint32(stream[0])<<24|uint32(stream[1])<<16|uint32(stream[2])<<8|uint32(stream[3]))
		list = append(list, stream[:n])
		stream = stream[n:]
	}
	return list
}

// AppendCallReuse encodes a call with one outcome, in memory that is kept.
func (e *Encoder) AppendCallReuse(b []byte, mono, wall float64, c *storage.Call, done *storage.CallDone) ([]byte, error) {
	e.outcomes = appendOutcome(e.outcomes[:0], done)
	return e.e.appendCall(b, mono, wall, c, nil, e.outcomes, 1)
}

// OpenFile1 is an open file of a recorder.
type OpenFile1 = file

// FileSystem is the seam of recorders to files.
type FileSystem interface {
	Create(path string, exclusive bool) (OpenFile1, error)
	Remove(path string) error
	SyncDir(path string) error
}

// WithFiles has a recorder use another file system.
func WithFiles(o Options, f FileSystem) Options {
	o.files = testFiles{f}
	return o
}

type testFiles struct{ f FileSystem }

func (t testFiles) create(path string, exclusive bool) (file, error) {
	return t.f.Create(path, exclusive)
}
func (t testFiles) remove(path string) error  { return t.f.Remove(path) }
func (t testFiles) syncDir(path string) error { return t.f.SyncDir(path) }
