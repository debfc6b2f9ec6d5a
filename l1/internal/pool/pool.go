package pool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"
)

// PieceBytes is the size of the pieces in which memory is committed; the last one
// may be smaller.
const PieceBytes = 64 << 20

// populateStep is how much is populated by one call. The kernel holds the lock of
// the address space for its length, for which a caller that commits has to wait.
const populateStep = 4 << 20

// hugePage is what the base is aligned to: the size of a transparent huge page.
const hugePage = 2 << 20

// Step names an operation of the system, for Options.Fault.
type Step string

// Steps of a pool, in the order in which they are first done.
const (
	StepCreate   Step = "create"   // the file of a segment
	StepReserve  Step = "reserve"  // the range of addresses
	StepCommit   Step = "commit"   // a piece
	StepPopulate Step = "populate" // a piece
)

// Options says what a Pool is made of.
type Options struct {
	Bytes     int64 // final size
	Piece     int64 // bytes in which it is committed, a multiple of the page size; 0: PieceBytes
	HugePages bool  // pages of 2 MiB, reserved at once; not with Name
	Name      string
	Dir       string           // where the file of that name is; "": DefaultDir
	Mode      fs.FileMode      // of the file; 0: 0600
	Fault     func(Step) error // for tests: fails a step that it returns an error for
	Touch     bool             // for tests: populates as a kernel without MADV_POPULATE_WRITE does
}

// DefaultDir is where the system keeps segments of shared memory.
const DefaultDir = "/dev/shm"

// Pool is one range of memory. Its methods are safe for concurrent use, but for
// Close, after which nothing may use the memory.
type Pool struct {
	o         Options
	segment   *segment
	mapping   []byte // what is unmapped
	mem       []byte
	pieces    []piece
	touch     atomic.Bool // the kernel cannot populate
	committed atomic.Int64
	closed    bool
}

type piece struct {
	once sync.Once
	err  error
}

// Open reserves the range and, with a name, creates the segment. Nothing is
// committed yet. It leaves nothing behind when it fails.
func Open(o Options) (*Pool, error) {
	if o.Piece == 0 {
		o.Piece = PieceBytes
	}
	if o.Mode == 0 {
		o.Mode = 0o600
	}
	if o.Dir == "" {
		o.Dir = DefaultDir
	}
	if o.Bytes <= 0 || int64(int(o.Bytes)) != o.Bytes {
		return nil, fmt.Errorf("cannot map %d bytes", o.Bytes)
	}
	if o.Piece < 0 || o.Piece%int64(os.Getpagesize()) != 0 {
		return nil, fmt.Errorf("a piece must be a multiple of the page size, got %d bytes", o.Piece)
	}
	p := &Pool{o: o}
	p.touch.Store(o.Touch)
	if err := p.open(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.pieces = make([]piece, (o.Bytes+o.Piece-1)/o.Piece)
	return p, nil
}

func (p *Pool) open() (err error) {
	o := &p.o
	if o.Name != "" {
		if err = p.fault(StepCreate); err != nil {
			return err
		}
		if p.segment, err = createSegment(o.Dir, o.Name, o.Mode, o.Bytes); err != nil {
			return err
		}
	}
	if err = p.fault(StepReserve); err != nil {
		return err
	}
	skip := 0
	switch {
	case p.segment != nil:
		p.mapping, err = p.segment.reserve(o.Bytes)
	case o.HugePages:
		p.mapping, err = mapHuge(o.Bytes)
	default:
		p.mapping, err = mapPrivate(o.Bytes + hugePage)
		skip = -int(address(p.mapping)) & (hugePage - 1)
	}
	if err != nil {
		return fmt.Errorf("mapping %d bytes (%.1f GiB): %w", o.Bytes, float64(o.Bytes)/(1<<30), err)
	}
	p.mem = p.mapping[skip : skip+int(o.Bytes) : skip+int(o.Bytes)]
	if !o.HugePages {
		advise(p.mem)
	}
	return nil
}

func (p *Pool) fault(s Step) error {
	if p.o.Fault == nil {
		return nil
	}
	return p.o.Fault(s)
}

// Bytes is the whole range. Only what is committed may be touched. The base is a
// multiple of 2 MiB, or of the page size for a segment.
func (p *Pool) Bytes() []byte { return p.mem }

// Base is the address of the range.
func (p *Pool) Base() uintptr { return address(p.mem) }

func address(b []byte) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b))) //nolint:gosec // a number, nothing is done through it
}

// Name is the name of the segment; empty for private memory.
func (p *Pool) Name() string { return p.o.Name }

// Pieces is the number of pieces.
func (p *Pool) Pieces() int { return len(p.pieces) }

// PieceBytes is the size of all pieces but the last.
func (p *Pool) PieceBytes() int64 { return p.o.Piece }

// Piece is the memory of piece i.
func (p *Pool) Piece(i int) []byte {
	lo := int64(i) * p.o.Piece
	hi := min(lo+p.o.Piece, int64(len(p.mem)))
	return p.mem[lo:hi:hi]
}

// Committed is the number of bytes that are committed.
func (p *Pool) Committed() int64 { return p.committed.Load() }

// Commit makes piece i usable. It is done once: other callers wait for the first
// and get its error.
func (p *Pool) Commit(i int) error {
	c := &p.pieces[i]
	c.once.Do(func() {
		if c.err = p.commit(i); c.err == nil {
			p.committed.Add(int64(len(p.Piece(i))))
		}
	})
	return c.err
}

func (p *Pool) commit(i int) error {
	if err := p.fault(StepCommit); err != nil {
		return err
	}
	if p.o.HugePages {
		return nil // the kernel has set all pages aside
	}
	mem := p.Piece(i)
	if p.segment != nil {
		if err := p.segment.allocate(int64(i)*p.o.Piece, int64(len(mem))); err != nil {
			return err
		}
	}
	if err := protect(mem); err != nil {
		return fmt.Errorf("committing %d bytes: %w", len(mem), err)
	}
	return nil
}

// Populate maps the pages of piece i, which must be committed. Memory that it
// fails for is mapped when it is touched.
func (p *Pool) Populate(i int) error {
	if err := p.fault(StepPopulate); err != nil {
		return err
	}
	for mem := p.Piece(i); len(mem) > 0; {
		part := mem[:min(populateStep, len(mem))]
		mem = mem[len(part):]
		if !p.touch.Load() {
			err := populate(part)
			if err == nil {
				continue
			}
			if !errors.Is(err, errors.ErrUnsupported) {
				return err
			}
			p.touch.Store(true)
		}
		touch(part)
	}
	return nil
}

// touch writes to each page what it holds, in one step, so that a writer beside
// it loses nothing.
func touch(mem []byte) {
	for page := os.Getpagesize(); len(mem) > 0; mem = mem[min(page, len(mem)):] {
		word := (*atomic.Uint32)(unsafe.Pointer(unsafe.SliceData(mem))) //nolint:gosec // the start of a page, and a page is longer
		word.Or(0)
	}
}

// Close unmaps the memory and unlinks the segment. Further calls do nothing.
func (p *Pool) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	var errs []error
	if p.mapping != nil {
		if err := unmap(p.mapping); err != nil {
			errs = append(errs, fmt.Errorf("unmapping %d bytes: %w", len(p.mem), err))
		}
		p.mapping, p.mem = nil, nil
	}
	if p.segment != nil {
		errs = append(errs, p.segment.close())
	}
	return errors.Join(errs...)
}
