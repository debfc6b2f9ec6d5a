package eventbus

import (
	"log/slog"
	"time"
)

const (
	defaultQueue = 10_000
	defaultKeys  = 1_000_000
)

// Options configures a Bus. The zero value is a live bus with two classes of
// 10,000 events and 1,000,000 keys each that logs nothing.
type Options struct {
	Queue    int          // bulk events that may wait; 0: 10,000
	Reserved int          // reserved events that may wait; 0: the same as Queue
	Keys     int          // keys that the waiting events of one class, or of one isolated queue, may carry; 0: 1,000,000
	Disabled bool         // every topic is inert; subscriptions are kept only to be closed
	Manual   bool         // no goroutine: Drain, Flush and Close handle what waits
	Logger   *slog.Logger // drop warnings, panics of handlers, errors of closing subscribers; nil: discarded
}

func (o Options) withDefaults() Options {
	if o.Queue <= 0 {
		o.Queue = defaultQueue
	}
	if o.Reserved <= 0 {
		o.Reserved = o.Queue
	}
	if o.Keys <= 0 {
		o.Keys = defaultKeys
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Overflow is what happens to an event for which an isolated queue has no room:
// Drop, or Wait.
type Overflow time.Duration

// Drop loses the new event and counts it.
const Drop Overflow = 0

// Wait makes the publisher wait for room up to limit; then the event is lost and
// counted. It is legal only for types with EventIsolated, which are published
// with no lock held. A limit of 0 or less is Drop, and so is any limit on a
// manual bus, where nobody would make room.
func Wait(limit time.Duration) Overflow { return Overflow(max(limit, 0)) }
