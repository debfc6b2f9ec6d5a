package eventbus

import (
	"context"
	"fmt"
	"time"
)

// Drain handles, on the calling goroutine, everything that waits, isolated queues
// included and events that handlers publish meanwhile too; then it calls what Every
// has due at now. The time need not be that of the machine, but it does not go
// back: an earlier now counts as the latest. Drain is for manual buses and does
// nothing on others.
func (b *Bus) Drain(now time.Time) {
	if b == nil || !b.opts.Manual || b.opts.Disabled {
		return
	}
	b.consume.Lock()
	defer b.consume.Unlock()
	now = b.clock.advance(now)
	b.rounds(nil)
	b.tick(now)
}

// drain is Drain under a context, which is looked at between batches. Bus.consume
// is held.
func (b *Bus) drain(ctx context.Context, now time.Time) error {
	b.rounds(ctx.Err)
	b.tick(now)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("eventbus: flush: %w", context.Cause(ctx))
	}
	return nil
}

// tick calls what is due at now, and handles what was published by it.
func (b *Bus) tick(now time.Time) {
	for l := range b.lanes() {
		l.tick(now)
	}
	b.rounds(nil)
	b.shared.warn.poll(now)
}

// rounds lets every lane take turns until nothing waits.
func (b *Bus) rounds(stop func() error) {
	for range maxRounds {
		n := 0
		for l := range b.lanes() {
			if stop != nil && stop() != nil {
				return
			}
			n += l.pass()
		}
		if n == 0 {
			return
		}
	}
}

// closeHere is Close without goroutines.
func (b *Bus) closeHere(ctx context.Context) error {
	b.consume.Lock()
	defer b.consume.Unlock()
	b.mu.Lock()
	first := !b.mu.closed
	b.mu.closed = true
	subs := b.mu.subs
	b.closeLanesLocked(false)
	b.mu.Unlock()
	if !first {
		return nil
	}
	var err error
	if !b.opts.Disabled {
		b.rounds(ctx.Err)
		if ctx.Err() != nil {
			err = fmt.Errorf("eventbus: close: %w", context.Cause(ctx))
			b.mu.Lock()
			b.closeLanesLocked(true)
			b.mu.Unlock()
			b.rounds(nil)
		}
		b.shared.warn.poll(b.now())
	}
	b.closeSubscribers(subs)
	return err
}
