package runtime

import (
	"context"
	"errors"
	"time"
)

// ErrClosed is the result of a call that was started on a closed runtime.
var ErrClosed = errors.New("runtime: closed")

// Runtime is what deciding code may know of the world. All methods of Live are
// safe for concurrent use; those of Virtual belong to its one goroutine.
type Runtime interface {
	// Now is the current time; it never goes back.
	Now() time.Time
	// At calls f once at t, or soon after; never before At has returned.
	At(t time.Time, f func()) Timer
	// Start runs call.Do and then done with its result, neither before Start
	// has returned. done is called exactly once.
	Start(call Call, done func(Result))
	// Wait holds up the calling goroutine until woken has a value, which it takes,
	// until a time, or until ctx or the runtime ends; true: it was woken. In virtual
	// time it steps the queue, and within a step it panics.
	Wait(ctx context.Context, woken <-chan struct{}, until time.Time) bool
	// Rand is the only source of randomness.
	Rand() uint64
}

// Timer is a pending call of At.
type Timer interface {
	// Stop prevents the call and reports whether it did; false: it has begun or was stopped.
	Stop() bool
}

// Call is one slow call on a tier.
type Call struct {
	Do       func(context.Context) error
	Deadline time.Time // of the context; zero: none
	Tier     int       // index of the tier, for cost models
	Items    int
	Bytes    int64
}

// Result is the outcome of a Call.
type Result struct {
	Err  error
	Took time.Duration
}
