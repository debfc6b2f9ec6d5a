package trace

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"slices"
)

// DamageError is damage that reading goes on behind, or that ends it: a frame that is
// not whole, or one whose body cannot be decoded. Records before it are not
// affected.
type DamageError struct {
	File   string // empty if it is not known
	Offset int64  // of the frame, in bytes
	Text   string
	End    bool // nothing can be read behind it
}

// Error is the text, as it is logged.
func (e *DamageError) Error() string { return "TraceReader: " + e.Text }

// Read reads the header of r, and then one record after the other, in constant
// memory. Among the records may be errors. A *DamageError is damage and ends nothing by
// itself: at most one of them says that the end is torn, and is the last thing.
// Any other error is that of r, and also the last thing. The records can be gone
// through once. A Record is valid until the next one.
func Read(r io.Reader) (Header, iter.Seq2[Record, error], error) {
	f := newFrames(r)
	h, err := readHeader(f, "-")
	if err != nil {
		return h, nil, err
	}
	return h, func(yield func(Record, error) bool) { f.records("", newDecoder(), yield) }, nil
}

// readHeader reads the first frame.
func readHeader(f *frames, file string) (Header, error) {
	body, _, err := f.next()
	var torn *tornError
	switch {
	case errors.Is(err, io.EOF):
		err = errors.New("unexpected EOF reading frame length")
	case errors.As(err, &torn) && torn.size > 0:
		err = fmt.Errorf("it is not a recording: it would begin with a header of %d bytes, the limit is %d", torn.size, MaxFrame)
	}
	var h Header
	if err == nil {
		h, err = decodeHeader(body)
	}
	if err != nil {
		return h, fmt.Errorf("trace file '%s': %w", file, err)
	}
	return h, nil
}

// records yields what is left; false: no more is wanted or can be had.
func (f *frames) records(file string, d *decoder, yield func(Record, error) bool) bool {
	for {
		body, at, err := f.next()
		var torn *tornError
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return true
		case errors.As(err, &torn):
			return yield(Record{}, &DamageError{File: file, Offset: at, Text: torn.text, End: true})
		default:
			if file != "" {
				err = fmt.Errorf("trace file '%s': %w", file, err)
			}
			yield(Record{}, err)
			return false
		}
		r, err := d.record(body)
		if err != nil {
			err = &DamageError{File: file, Offset: at, Text: fmt.Sprintf("skipping malformed record at offset %d: %v", at, err)}
			r = Record{}
		}
		if !yield(r, err) {
			return false
		}
	}
}

// File is a recording in one or several files, its parts, in order.
type File struct {
	Paths   []string
	Headers []Header // of the parts
}

// OpenFile reads the headers of the parts of one recording, which must agree in
// level, versions and start, and none of which may be there twice. Parts that are
// numbered, as those of the extended format are, are taken in order of their numbers,
// others in that of the times at which they begin. Numbers that are missing between
// others are damage among the records.
func OpenFile(paths ...string) (*File, error) {
	if len(paths) == 0 {
		return nil, errors.New("trace: no file given")
	}
	var parts []part
	for _, path := range paths {
		p, err := openPart(path, len(paths) > 1)
		if err != nil {
			return nil, err
		}
		for i := range parts {
			if parts[i].same(&p) {
				return nil, fmt.Errorf("trace file '%s': the same part of the recording as '%s'", path, parts[i].path)
			}
			if what := disagreement(&parts[i].header, &p.header); what != "" {
				return nil, fmt.Errorf("trace file '%s': not a part of the same recording as '%s': %s differs", path, parts[i].path, what)
			}
		}
		parts = append(parts, p)
	}
	slices.SortStableFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.header.Part, b.header.Part), cmp.Compare(a.begin, b.begin))
	})
	f := &File{}
	for i := range parts {
		f.Paths, f.Headers = append(f.Paths, parts[i].path), append(f.Headers, parts[i].header)
	}
	return f, nil
}

// part is one file of a recording that is opened.
type part struct {
	path   string
	header Header
	info   os.FileInfo
	begin  float64 // offset of its first record, where parts have no numbers and there are several
}

// same reports whether two files are the same part.
func (p *part) same(o *part) bool {
	numbered := p.header.Extended && o.header.Extended && disagreement(&p.header, &o.header) == ""
	return os.SameFile(p.info, o.info) || numbered && p.header.Part == o.header.Part
}

func openPart(path string, several bool) (p part, err error) {
	file, err := os.Open(path)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	p.path = path
	if p.info, err = file.Stat(); err != nil {
		return p, err
	}
	in := newFrames(file)
	if p.header, err = readHeader(in, path); err != nil || p.header.Extended || !several {
		return p, err
	}
	p.begin = math.Inf(1)
	in.records(path, newDecoder(), func(r Record, damage error) bool {
		if damage == nil {
			p.begin = r.Mono
		}
		return damage != nil // which is told when it is read
	})
	return p, nil
}

// disagreement names a field that differs; empty if none does.
func disagreement(a, b *Header) string {
	for _, c := range []struct {
		name string
		same bool
	}{
		{"level", a.Level == b.Level},
		{"format_version", a.FormatVersion == b.FormatVersion},
		{"trace_schema_version", a.SchemaVersion == b.SchemaVersion && a.Draft == b.Draft},
		{"t_mono_start", a.MonoStart == b.MonoStart},
		{"t_wall_start", a.WallStart == b.WallStart},
	} {
		if !c.same {
			return c.name
		}
	}
	return ""
}

// Header is that of the first part.
func (f *File) Header() Header { return f.Headers[0] }

// Records reads the records of all parts, as those of one input; see Read. They can
// be gone through more than once.
func (f *File) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		d := newDecoder()
		for i, path := range f.Paths {
			if missing := f.missing(i); missing != "" && !yield(Record{}, &DamageError{File: path, Text: missing}) {
				return
			}
			if !f.part(path, d, yield) {
				return
			}
		}
	}
}

// missing says which parts between part i and the one before are not there; empty: none.
func (f *File) missing(i int) string {
	if i == 0 {
		return "" // the oldest parts of a recording may have been deleted as it went on
	}
	switch lo, hi := f.Headers[i-1].Part+1, f.Headers[i].Part-1; {
	case !f.Headers[i].Extended || lo > hi:
		return ""
	case lo == hi:
		return fmt.Sprintf("part %d of the recording is missing", lo)
	default:
		return fmt.Sprintf("parts %d to %d of the recording are missing", lo, hi)
	}
}

func (f *File) part(path string, d *decoder, yield func(Record, error) bool) bool {
	file, err := os.Open(path)
	if err != nil {
		yield(Record{}, err)
		return false
	}
	defer func() { _ = file.Close() }() // it was only read
	in := newFrames(file)
	if _, err := readHeader(in, path); err != nil {
		yield(Record{}, err)
		return false
	}
	return in.records(path, d, yield)
}
