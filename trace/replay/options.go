package replay

import (
	"errors"
	"fmt"
	"log/slog"
	"math"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
)

// Pacing says when calls are made.
type Pacing uint8

// Pacings.
const (
	Realtime Pacing = iota // at the recorded offsets, never early
	Fast                   // one after the other
)

// Fill says what the bytes of stored objects are.
type Fill uint8

// Fills.
const (
	FillZero Fill = iota
	FillKey       // derived from the key and the seed
)

// Options configures a run. Manager is required.
type Options struct {
	Manager *storage.Manager
	Pacing  Pacing
	Speed   float64 // recorded offsets are divided by it; 0: 1
	Workers int     // of Fast, for what may overlap; 0: 1
	Fill    Fill
	Verify  bool   // check the bytes of every read; it implies FillKey
	Seed    uint64 // of the bytes
	From    float64
	To      float64 // seconds of the recording; 0: to its end
	Total   int64   // calls that are expected, for messages
	Strict  bool    // gaps, damage, what is skipped and ends of scopes without a beginning fail the run
	Logger  *slog.Logger

	// Line hears of every record that is a call of the plain format, when it is made.
	Line func(Line)

	// Bus is the one that Manager publishes on. With it the outcomes are compared with those
	// that were recorded, unless NoCompare is set, and there is a Result.OutcomeDigest.
	Bus       *eventbus.Bus
	NoCompare bool

	// Diverged hears of every call whose outcome is not the recorded one, in the order in
	// which both are known; nil: they are counted alone.
	Diverged func(Divergence)

	// Complete hears of the same records as Line, in the order of the recording, as soon as
	// their outcomes are known and compared. What was not compared when a recording of many
	// calls has gone on since is told without.
	Complete func(Line)
}

func (o Options) withDefaults() Options {
	if o.Speed == 0 {
		o.Speed = 1
	}
	if o.Verify {
		o.Fill = FillKey
	}
	if o.To == 0 {
		o.To = math.Inf(1)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Validate reports all problems of o at once; nil if there is none.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("replay: "+format, args...)) }
	if o.Manager == nil {
		bad("Manager: not set")
	}
	if o.Pacing > Fast {
		bad("Pacing: must be Realtime or Fast, got %d", o.Pacing)
	}
	if !(o.Speed >= 0) || math.IsInf(o.Speed, 1) {
		bad("Speed: must be positive, got %v", o.Speed)
	}
	if o.Workers < 0 || o.Workers > 1 && o.Pacing != Fast {
		bad("Workers: must not be negative, and more than one needs Fast, got %d", o.Workers)
	}
	if o.Fill > FillKey {
		bad("Fill: must be FillZero or FillKey, got %d", o.Fill)
	}
	if !(o.From >= 0) || !(o.To >= 0) || o.To > 0 && o.To < o.From {
		bad("From, To: must be seconds, the second not below the first, got %v and %v", o.From, o.To)
	}
	return errors.Join(errs...)
}
