package l2

import (
	"context"
	"iter"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Adapter moves objects to and from one store. Calls block, are safe for concurrent
// use, and return early when their context ends, if they can. An error of a call
// condemns the whole batch and means that the store could not be talked to; what
// happens to a single key is told in its item. One failing key does not stop the
// others. Causes are wrapped in the Err values of this package, see [ReasonOf].
type Adapter interface {
	// Store writes items, each atomically under its key: readers see nothing or all of
	// it. A key that is there already with the same size is a success with N = 0; one
	// with another size is replaced, or fails.
	Store(ctx context.Context, items []Item) error

	// Load fills Head and then Data of each item from their start and sets N to the
	// bytes of payload. An object longer than both, apart from the padding of a store
	// that pads, is [ErrCorrupt]; a shorter one
	// has the N that it has, and its caller decides.
	Load(ctx context.Context, items []Item) error

	// Lookup sets found[i] for keys[i]; presence only, nothing is transferred. A key
	// whose own check failed has Err: that is not to be taken for one that is not there.
	Lookup(ctx context.Context, keys []kv.Key, found []Found) error

	// Delete removes keys; one that is not there counts as removed. freed[i] is what
	// removing keys[i] freed in stored bytes, 0 if it was not there or is not known, and
	// -1 if it could not be removed.
	Delete(ctx context.Context, keys []kv.Key, freed []int64) error

	// Close returns when all calls have returned. It is idempotent; calls after it
	// fail with [ErrClosed].
	Close() error
}

// Item is one object of a Store or Load.
type Item struct {
	Key kv.Key

	// Head is stored before Data. It is empty when the format is raw. Of a Load it has
	// the length that the head of this key must have.
	Head []byte

	// Data is the payload. Its length is the logical size and its capacity the
	// physical one; what lies between may be written to a store (it is zero) and read
	// into, nothing beyond.
	Data []byte

	N   int64 // out: bytes of payload written or read
	Err error // out: nil, or why this key failed

	// Gone is the stored bytes of an object of another size that a Store has taken from
	// under this key without putting another one in its place at once. It counts whatever
	// Err says. A store that replaces in one step leaves it 0.
	Gone int64
}

// Found is the answer of a Lookup for one key.
type Found struct {
	OK   bool
	Size int64 // stored bytes, if the store told them without being asked; else 0
	Err  error // why the store did not say whether it has the object; OK is false then
}

// Format says how a store keeps objects. The zero value is the default of stores
// that are not files: v1, heads in multiples of 64 bytes, XXH3.
type Format struct {
	Raw       bool     // payload alone, no head
	HeadAlign int      // the head's length is a multiple of it; 0: 64
	PadAlign  int      // so is the stored size, header included; 0: 1
	Checksum  Checksum // of v1; 0: XXH3
}

// Formatter is an adapter whose format is not the zero [Format].
type Formatter interface{ Format() Format }

// Entry is one stored object.
type Entry struct {
	Key  kv.Key
	Size int64     // stored bytes
	Used time.Time // last use or writing, as far as the store knows; zero: unknown
}

// ListQuery asks for one page of stored objects.
type ListQuery struct {
	Model    string // only this model; empty: all of them
	PageSize int    // entries wanted, at least 1; a store may give fewer
	Cursor   string // Next of the page before; empty: the first page. Another text is ErrCursor, or any place
}

// Page is a part of a listing. Objects that come and go meanwhile may be in it or not.
type Page struct {
	Entries []Entry
	Next    string // empty: this was the last page
}

// Lister is an adapter whose objects can be listed.
type Lister interface {
	List(ctx context.Context, q ListQuery) (Page, error)
}

// Scanner is an adapter that keeps objects after the process has ended. Scan yields
// all of them, in any order, to rebuild accounting after a restart. Foreign names are
// skipped. An error ends the scan, which may be begun anew then.
type Scanner interface {
	Scan(ctx context.Context) iter.Seq2[Entry, error]
}

// PageScanner is a Scanner that has nothing better than its listing: Scan is [ScanPages]
// with pages of ScanPageSize entries. The tier lists the pages itself, so that one that
// fails is asked for again and the others are not.
type PageScanner interface {
	Scanner
	Lister
	ScanPageSize() int
}

// Toucher is an adapter that can keep the order of use over restarts. Touch tells
// that keys were used at a time; it may be lazy and its failures do not matter.
type Toucher interface {
	Touch(ctx context.Context, keys []kv.Key, at time.Time)
}

// Limiter is an adapter whose store has a limit of its own that moves, such as the
// free space of a file system. Limit returns how many stored bytes it may hold in all
// when it holds held of them now; negative: no limit. It does not block.
type Limiter interface{ Limit(held int64) int64 }

// Quarantiner is an adapter that puts damaged objects aside instead of deleting
// them. Quarantine returns the stored bytes that no longer count as the object's.
type Quarantiner interface {
	Quarantine(ctx context.Context, key kv.Key) (freed int64, err error)
}

// Describer is an adapter that has more to say in a status page: settings that it
// found out by itself, for example. No secret is in it. It does not block.
type Describer interface{ Describe() map[string]any }
