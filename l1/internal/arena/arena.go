package arena

import (
	"fmt"
	"math"
	"sync/atomic"

	"github.com/lmcache-go/lmcache/internal/invariants"
	"github.com/lmcache-go/lmcache/l1/internal/slab"
)

// DefaultAlign is the alignment in bytes if Options.Align is 0.
const DefaultAlign = 4096

// Poison is what freed memory is filled with in builds with the tag invariants.
const Poison = 0xDB

// Options says what an Arena is made of.
type Options struct {
	Bytes    int64  // capacity, rounded up to Align
	Align    int64  // of offsets and sizes, in bytes, a power of two; 0 means DefaultAlign
	Memory   []byte // what is divided, at least the rounded capacity; nil: offsets only, and all buffers are nil
	HoldBack bool   // nothing is handed out before Advance
}

// Buf is a piece of an arena: a small value, owned by whoever got it from Alloc
// until it is given to Free. The zero Buf is no piece.
type Buf struct {
	run  uint32
	slot uint32
}

// IsZero reports whether b is no piece.
func (b Buf) IsZero() bool { return b.run == 0 }

// Arena divides one range of memory. Make one with New; the package comment says
// how it works and what may be called concurrently.
type Arena struct {
	mem   []byte // nil: offsets only
	shift uint   // log2 of the alignment
	units uint32 // capacity
	chunk uint32 // units that a run of small objects should have
	off   bool   // closed

	spans slab.Slab[span]
	first uint32 // span at offset 0
	root  uint32 // of the tree of free spans

	tail     uint32       // span of what is not ready yet; 0: everything is
	lost     atomic.Int64 // units that never will be
	lasting  []reserved   // ranges to be used last, by offset
	reserved int          // of them, those that are set aside now

	runs    slab.Slab[run]
	classes slab.Slab[class]
	buckets [classBuckets]uint32 // classes by hash of their size
	blocks  slab.Slab[struct{}]  // blocks of pieces in use
	pieces  slab.Table[uint32]   // spans of the slots of broken runs, by block
	used    int64                // units handed out
	held    int64                // units that runs own
}

// New makes an arena. It is closed with Close.
func New(o Options) (*Arena, error) {
	if o.Align == 0 {
		o.Align = DefaultAlign
	}
	if o.Align < 0 || o.Align&(o.Align-1) != 0 {
		return nil, fmt.Errorf("arena: the alignment must be a power of two, not %d", o.Align)
	}
	if o.Bytes <= 0 || o.Bytes > math.MaxInt64-o.Align {
		return nil, fmt.Errorf("arena: cannot make an arena of %d bytes", o.Bytes)
	}
	units := (o.Bytes + o.Align - 1) / o.Align
	if units > math.MaxUint32 {
		return nil, fmt.Errorf("arena: %d bytes are more than 2^32-1 units of %d bytes: use a larger alignment", o.Bytes, o.Align)
	}
	a := &Arena{units: uint32(units), mem: o.Memory}
	for 1<<a.shift < o.Align {
		a.shift++
	}
	if a.mem != nil && int64(len(a.mem)) < a.Size() {
		return nil, fmt.Errorf("arena: %d bytes of memory are less than the %d of the capacity", len(a.mem), a.Size())
	}
	a.chunk = max(1, min(a.units/minRuns, uint32(runBytes>>a.shift)))
	a.first = a.spans.New()
	*a.spans.At(a.first) = span{len: a.units}
	if o.HoldBack {
		a.tail = a.first
		a.spans.At(a.tail).run = aside
	} else {
		a.insertFree(a.first)
	}
	return a, nil
}

// Close refuses all further allocations. The memory stays its owner's.
func (a *Arena) Close() { a.off = true }

// Alloc takes a piece for size bytes, rounded up to the alignment. It reports
// false, and takes nothing, when there is no room in what is ready. Ranges that
// Postpone named are used when there is no other room. The content is unspecified.
func (a *Arena) Alloc(size int64) (Buf, bool) {
	units := a.unitsOf(size)
	if units == 0 || a.off {
		return Buf{}, false
	}
	cid := a.findClass(units)
	if cid == 0 || a.classes.At(cid).partial == 0 {
		id := a.addRun(cid, units)
		if id == 0 && a.shed() {
			id = a.addRun(cid, units)
		}
		for id == 0 && a.recall() {
			id = a.addRun(cid, units)
		}
		if id == 0 {
			return Buf{}, false
		}
		cid = id
	}
	return a.takeSlot(cid), true
}

// Free gives a piece back.
func (a *Arena) Free(b Buf) {
	a.mustOwn(b)
	if invariants.Enabled && a.mem != nil {
		poison(a.Bytes(b, a.size(b)))
	}
	a.returnSlot(b)
}

// Bytes is the memory of a piece: length logical, capacity the size of the piece.
// It is nil without Options.Memory.
func (a *Arena) Bytes(b Buf, logical int64) []byte {
	return a.At(a.Offset(b), logical)
}

// At is the memory of the piece at an offset that Offset returned: length
// logical, capacity logical rounded up to the alignment. It is nil without
// Options.Memory. It may be called at any time by whoever holds the piece.
func (a *Arena) At(off, logical int64) []byte {
	if a.mem == nil {
		return nil
	}
	return a.mem[off : off+logical : off+a.Physical(logical)]
}

// Offset is where a piece begins, in bytes from the start of the arena.
func (a *Arena) Offset(b Buf) int64 {
	r := a.runs.At(b.run)
	return int64(r.off+b.slot*r.units) << a.shift
}

// Align is the alignment of offsets and sizes in bytes.
func (a *Arena) Align() int64 { return 1 << a.shift }

// Physical is size rounded up to the alignment.
func (a *Arena) Physical(size int64) int64 {
	mask := int64(1)<<a.shift - 1
	return (size + mask) &^ mask
}

// Size is the number of bytes that the arena was made for.
func (a *Arena) Size() int64 { return int64(a.units) << a.shift }

// Capacity is Size without what Cut has taken away. It may be called at any time.
func (a *Arena) Capacity() int64 { return (int64(a.units) - a.lost.Load()) << a.shift }

// Used is the number of bytes handed out, physical sizes.
func (a *Arena) Used() int64 { return a.used << a.shift }

// unitsOf is size in units, or 0 if no piece can have it.
func (a *Arena) unitsOf(size int64) uint32 {
	if size <= 0 || size > a.Size() {
		return 0
	}
	return uint32(a.Physical(size) >> a.shift)
}

// size is the physical size of a piece.
func (a *Arena) size(b Buf) int64 { return int64(a.runs.At(b.run).units) << a.shift }

// poison copies what is poisoned already: byte by byte it takes a multiple of the time of
// everything else under the race detector.
func poison(b []byte) {
	b[0] = Poison
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}
