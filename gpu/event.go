package gpu

import (
	"context"
	"time"
)

// Event is a recorded point of a stream. It is safe for concurrent use.
type Event interface {
	// Done reports whether the stream has reached the event, at which time of
	// the device (in host clock terms, error at most 50 µs), and with which
	// error. Before that it answers the zero Time, false and nil. The times of
	// the events of one stream never go backwards.
	Done() (at time.Time, done bool, err error)
	// Wait blocks until the event is done and returns its error, or until ctx
	// ends and returns the context's error. An event that is done wins over a
	// context that has ended.
	Wait(ctx context.Context) error
}
