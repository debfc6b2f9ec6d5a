package fs

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lmcache-go/lmcache/l2"
)

// Options say where and how objects are kept. The zero value is the default of all
// but BasePath.
type Options struct {
	// BasePath is the folder of the store. It is created if it is missing.
	BasePath string

	// TempDir is a folder below BasePath, on the same file system, for files that are
	// being written; empty: the folder of the object.
	TempDir string

	// DirectIO goes around the page cache where that is possible.
	DirectIO bool

	// ReadAhead is how many bytes of an object are read first, so that the kernel
	// starts to read ahead; 0: all at once. Direct I/O does not use it.
	ReadAhead int64

	// MaxBytes is the most stored bytes; 0: only the space of the file system counts.
	MaxBytes int64

	// MinFree is the space of the file system, in bytes, that is left to others; 0:
	// 10 GiB or 5 % of the file system, whatever is less; negative: none.
	MinFree int64

	// HighWatermark is the part of the file system, used by anybody, up to which this
	// store may help to fill it; 0: there is no such limit.
	HighWatermark float64

	// NoRecover leaves out what an earlier process has stored: Scan yields nothing.
	// Lookups find it nevertheless.
	NoRecover bool

	Sync     Sync        // how durable a finished store is
	Raw      bool        // payload alone, under LMCache's names
	Checksum l2.Checksum // of format v1; 0: XXH3

	Logger *slog.Logger // nil: nothing is logged
	System System       // zero fields: the operating system
}

// Sync says what is forced to the disk before a store has succeeded.
type Sync string

// Values of Sync. The empty one is SyncNone.
const (
	SyncNone       Sync = "none"
	SyncFile       Sync = "file"     // the bytes
	SyncFileAndDir Sync = "file+dir" // the bytes, and then the name
)

// Syncs lists the values of Sync.
func Syncs() []string { return []string{string(SyncNone), string(SyncFile), string(SyncFileAndDir)} }

// Validate reports everything that is wrong with o. It does not look at the disk.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("l2/fs: "+format, args...)) }
	switch {
	case o.BasePath == "":
		bad("BasePath: missing")
	case strings.ContainsRune(o.BasePath, 0):
		bad("BasePath: %q has a NUL", o.BasePath)
	}
	if o.TempDir != "" && !filepath.IsLocal(o.TempDir) {
		bad("TempDir: must be a relative path without .., got %q", o.TempDir)
	}
	if o.ReadAhead < 0 {
		bad("ReadAhead: %d bytes is negative", o.ReadAhead)
	}
	if o.MaxBytes < 0 {
		bad("MaxBytes: %d bytes is negative", o.MaxBytes)
	}
	if w := o.HighWatermark; math.IsNaN(w) || w < 0 || w > 1 {
		bad("HighWatermark: %v, must be 0 to 1", w)
	}
	if o.Sync != "" && !slices.Contains(Syncs(), string(o.Sync)) {
		bad("Sync: %q, must be one of %s", o.Sync, strings.Join(Syncs(), ", "))
	}
	if o.Checksum > l2.NoChecksum {
		bad("Checksum: unknown algorithm %d", o.Checksum)
	}
	if o.Raw && o.Checksum != l2.DefaultChecksum && o.Checksum != l2.NoChecksum {
		bad("Checksum: %v has no effect with Raw, which has none", o.Checksum)
	}
	return errors.Join(errs...)
}

// fill returns o with its defaults, except MinFree, for which the size of the file
// system must be known.
func (o Options) fill() Options {
	if o.Sync == "" {
		o.Sync = SyncNone
	}
	if o.Checksum == l2.DefaultChecksum {
		o.Checksum = l2.XXH3
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.System = o.System.fill()
	return o
}

// floor is the space that is left to others on a file system of size bytes.
func (o Options) floor(size int64) int64 {
	switch {
	case o.MinFree > 0:
		return o.MinFree
	case o.MinFree < 0:
		return 0
	}
	return min(10<<30, size/20)
}
