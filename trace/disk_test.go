package trace_test

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/lmcache-go/lmcache/trace"
)

// disk is a file system in memory that can be full, read-only or stuck.
type disk struct {
	mu      sync.Mutex
	files   map[string]*memFile
	room    int           // bytes that still fit; -1: any number
	ro      bool          // nothing can be written, cut or made
	stuck   chan struct{} // writes wait for it; nil: they do not
	synced  []string
	removed []string
	writes  int
}

func newDisk() *disk { return &disk{files: make(map[string]*memFile), room: -1} }

type memFile struct {
	d      *disk
	data   []byte
	closed bool
}

func (d *disk) Create(path string, exclusive bool) (trace.OpenFile1, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ro {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EROFS}
	}
	if d.files[path] != nil && exclusive {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EEXIST}
	}
	f := &memFile{d: d}
	d.files[path] = f
	return f, nil
}

func (d *disk) Remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.files, path)
	d.removed = append(d.removed, path)
	return nil
}

func (d *disk) SyncDir(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.synced = append(d.synced, path)
	return nil
}

// set changes what the disk does.
func (d *disk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// WriteAt writes what fits, as a file system does.
func (f *memFile) WriteAt(p []byte, at int64) (int, error) {
	f.d.mu.Lock()
	stuck := f.d.stuck
	f.d.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.writes++
	if f.d.ro {
		return 0, syscall.EROFS
	}
	n := len(p)
	if f.d.room >= 0 {
		n = min(n, f.d.room)
		f.d.room -= n
	}
	if grow := int(at) + n - len(f.data); grow > 0 {
		f.data = append(f.data, make([]byte, grow)...)
	}
	copy(f.data[at:], p[:n])
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (f *memFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.ro {
		return syscall.EROFS
	}
	f.data = f.data[:size]
	return nil
}

func (f *memFile) Sync() error { return nil }

func (f *memFile) Close() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	return nil
}

// content is what is in the files now, in order of their names.
func (d *disk) content() [][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all [][]byte
	byPart := func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) } // run.lct, run-0001.lct
	for _, path := range slices.SortedFunc(maps.Keys(d.files), byPart) {
		all = append(all, bytes.Clone(d.files[path].data))
	}
	return all
}

// summary is what is in recorded files.
type summary struct {
	calls    []trace.Call
	records  []trace.Record
	outcomes []trace.Outcome
	gaps     []trace.Gap
	lost     int64 // by the gaps
	end      *trace.End
	torn     string // what was wrong with the end of the last file
}

// summarise reads files as one recording. Nothing may be damaged but the end of the last.
func summarise(t testing.TB, files ...[]byte) (s summary) {
	t.Helper()
	for i, content := range files {
		h, records, err := trace.Read(bytes.NewReader(content))
		if err != nil {
			t.Fatalf("file %d: %v", i, err)
		}
		if h.Extended && h.Part != i && h.Part < len(files) {
			t.Errorf("file %d says that it is part %d", i, h.Part)
		}
		for r, err := range records {
			if err != nil {
				if i < len(files)-1 || s.torn != "" {
					t.Errorf("file %d: %v", i, err)
				}
				s.torn = err.Error()
				continue
			}
			s.add(t, &r)
		}
	}
	return s
}

func (s *summary) add(t testing.TB, r *trace.Record) {
	t.Helper()
	o, err := r.Outcomes()
	if err != nil {
		t.Error(err)
	}
	s.outcomes = append(s.outcomes, o...)
	if s.end != nil {
		t.Errorf("%s behind the end record", r.Name)
	}
	if g, ok, err := r.Gap(); ok {
		if err != nil {
			t.Error(err)
		}
		s.gaps = append(s.gaps, g)
		s.lost += g.Count
		sum := int64(0)
		for _, n := range g.ByCall {
			sum += n
		}
		if sum != g.Count {
			t.Errorf("a gap of %d: %v", g.Count, g.ByCall)
		}
		return
	}
	if e, ok, err := r.End(); ok {
		if err != nil {
			t.Error(err)
		}
		s.end = &e
		return
	}
	c, err := r.Call()
	if err != nil {
		t.Errorf("%s: %v", r.Name, err)
	}
	s.calls, s.records = append(s.calls, c), append(s.records, *r)
}

// accounts checks the promise that no call is missing without a mark.
func (s *summary) accounts(t testing.TB, made int64, st trace.Stats) {
	t.Helper()
	if got := int64(len(s.calls)) + s.lost; got != made {
		t.Errorf("%d calls in the file and %d lost ones in gaps, %d were made", len(s.calls), s.lost, made)
	}
	if st.Written != int64(len(s.calls)) || st.Lost.Sum() != s.lost {
		t.Errorf("stats say %d written and %+v lost, the file has %d and %d", st.Written, st.Lost, len(s.calls), s.lost)
	}
	if s.end != nil && (s.end.Records != int64(len(s.calls)) || s.end.Dropped != s.lost) {
		t.Errorf("the end record says %+v, the file has %d and %d", *s.end, len(s.calls), s.lost)
	}
	holes, seen := int64(0), make(map[int64]bool)
	highest := int64(-1)
	for i := range s.calls {
		n := s.calls[i].N
		if seen[n] {
			t.Errorf("two calls have the number %d", n)
		}
		seen[n] = true
		highest = max(highest, n)
	}
	for n := range highest {
		if !seen[n] {
			holes++
		}
	}
	if holes > s.lost {
		t.Errorf("%d numbers are missing, the gaps tell of %d", holes, s.lost)
	}
}

// logLines collects what is logged.
func (s *summary) String() string {
	return fmt.Sprintf("%d calls, %d outcomes, %d gaps of %d, end %v, %q", len(s.calls), len(s.outcomes), len(s.gaps), s.lost, s.end, s.torn)
}
