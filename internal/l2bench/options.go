package l2bench

import (
	"errors"
	"fmt"
	"math"

	"github.com/lmcache-go/lmcache/l2"
)

// Op is one operation.
type Op string

// Operations.
const (
	All    Op = "" // store, lookup and load
	Store  Op = "store"
	Lookup Op = "lookup"
	Load   Op = "load"
)

// Options says what is measured.
type Options struct {
	Adapter  l2.Adapter
	Settings l2.Settings // Workers, PerOpWorkers and Timeouts count

	Keys       int     // of a submission
	InFlight   int     // submissions of a round, at the same time
	Bytes      int64   // of an object
	Align      int     // to which the room for an object is rounded up
	HugePages  bool    // memory in huge pages
	Rounds     int     // that are measured
	Warmup     int     // rounds before them
	MaxHitRate float64 // most part of the keys of a lookup that is there; 0: all
	SkipVerify bool    // loaded bytes are not compared
	Only       Op

	// RawDir is a folder for the file of the plain program; empty: there is none.
	RawDir string

	// RawClient has a plain client of the adapter's store move the same bytes, if the
	// adapter has the ability [l2.Plain] and there is no RawDir.
	RawClient bool

	// Progress is told a line now and then; nil: nobody is.
	Progress func(line string)
}

// Memory is what the buffers take, in bytes.
func (o *Options) Memory() int64 {
	return int64(o.Keys) * int64(o.InFlight) * (o.room() + headRoom)
}

// room is what one object takes in memory.
func (o *Options) room() int64 {
	a := int64(max(o.Align, 1))
	return (o.Bytes + a - 1) / a * a
}

// headRoom is what a header takes in memory, at most.
const headRoom = 4096

// Validate reports all problems of o at once.
func (o *Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("l2bench: "+format, args...)) }
	if o.Adapter == nil {
		bad("Adapter: missing")
	}
	for _, f := range []struct {
		name string
		n    int64
	}{{"Keys", int64(o.Keys)}, {"InFlight", int64(o.InFlight)}, {"Bytes", o.Bytes}, {"Align", int64(o.Align)}, {"Rounds", int64(o.Rounds)}} {
		if f.n <= 0 {
			bad("%s: must be positive, got %d", f.name, f.n)
		}
	}
	if o.Align&(o.Align-1) != 0 {
		bad("Align: must be a power of two, got %d", o.Align)
	}
	if o.Warmup < 0 {
		bad("Warmup: %d is negative", o.Warmup)
	}
	if math.IsNaN(o.MaxHitRate) || o.MaxHitRate < 0 || o.MaxHitRate > 1 {
		bad("MaxHitRate: %v, must be 0 to 1", o.MaxHitRate)
	}
	switch o.Only {
	case All, Store, Lookup, Load:
	default:
		bad("Only: must be store, lookup or load, got %q", o.Only)
	}
	if len(errs) == 0 && o.Bytes > math.MaxInt64/int64(o.Keys)/int64(o.InFlight)/2 {
		bad("Bytes: %d keys of %d bytes are too many", o.Keys*o.InFlight, o.Bytes)
	}
	return errors.Join(errs...)
}
