package replay

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

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
	Fill    Fill
	Verify  bool   // check the bytes of every read; it implies FillKey
	Seed    uint64 // of the bytes
	From    float64
	To      float64 // seconds of the recording; 0: to its end
	Total   int64   // calls that are expected, for messages
	Strict  bool    // gaps, damage, what is skipped and ends of scopes without a beginning fail the run
	Logger  *slog.Logger

	// Line hears of every record that is a call of the plain format, in order.
	Line func(Line)
}

// Line is what became of one record.
type Line struct {
	Index   int64 // from 1
	Name    string
	Latency time.Duration
	Failed  bool
	Skipped bool // there is no handler, or the arguments do not decode
	Mono    float64
	N       int64 // number of the recorded call; storage.NoCall if there is none
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
	if o.Fill > FillKey {
		bad("Fill: must be FillZero or FillKey, got %d", o.Fill)
	}
	if !(o.From >= 0) || !(o.To >= 0) || o.To > 0 && o.To < o.From {
		bad("From, To: must be seconds, the second not below the first, got %v and %v", o.From, o.To)
	}
	return errors.Join(errs...)
}
