package eventbustest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
)

// How long a helper waits for what should come at once, and how often it looks.
const (
	patience = 10 * time.Second
	retry    = 5 * time.Millisecond
)

// NewBus returns a live bus with default options, which is closed when the test
// ends. Its log goes to the test's; a callback that panics, or a subscriber whose
// Close fails, fails the test. It may be used in a synctest bubble.
func NewBus(t testing.TB) *eventbus.Bus {
	t.Helper()
	return newBus(t, eventbus.Options{})
}

// NewManualBus is NewBus without goroutines: handlers run in Drain, Flush, the
// methods of a Watcher, and at the end of the test, on the caller's goroutine.
func NewManualBus(t testing.TB) *eventbus.Bus {
	t.Helper()
	return newBus(t, eventbus.Options{Manual: true})
}

func newBus(t testing.TB, o eventbus.Options) *eventbus.Bus {
	t.Helper()
	o.Logger = slog.New(strict{slog.NewTextHandler(t.Output(), nil), t})
	b := eventbus.New(o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("closing the bus: %v", err)
		}
	})
	return b
}

// strict fails the test at the first error logged.
type strict struct {
	slog.Handler
	t testing.TB
}

func (s strict) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		s.t.Errorf("the bus logged an error: %s", r.Message)
	}
	return s.Handler.Handle(ctx, r)
}

// flush waits until b has handled what it admitted.
func flush(t testing.TB, b *eventbus.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	if err := b.Flush(ctx); err != nil {
		t.Fatalf("flushing the bus: %v", err)
	}
}
