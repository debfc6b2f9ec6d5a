package tier

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l2"
)

// Stop refuses what is new, fails what is queued and, with cancel, ends the contexts
// of the calls under way.
func (t *Tier) Stop(cancel bool) {
	t.lock()
	t.mu.stopped = true
	t.failQueuedLocked(l2.ErrClosed)
	t.mu.breaker.stop()
	t.endRestsLocked()
	t.mu.scan.stop()
	t.unlock()
	if cancel {
		t.cancel()
	}
}

// Leave lets the adapter close as soon as all calls have returned. Stop comes first.
func (t *Tier) Leave() {
	t.cancel()
	t.lock()
	defer t.unlock()
	if t.mu.closed != nil {
		return
	}
	t.mu.closed = make(chan struct{})
	if len(t.mu.calls) == 0 {
		t.leaveLocked()
	}
}

// leaveLocked closes the adapter, which is a call too.
func (t *Tier) leaveLocked() {
	if t.mu.alarm != nil {
		t.mu.alarm.Stop()
		t.mu.alarm = nil
	}
	t.later(func() {
		t.rt.Start(runtime.Call{Do: func(context.Context) error { return guarded(t.adapter.Close) }, Tier: t.o.Index}, t.left)
	})
}

// left ends the tier.
func (t *Tier) left(r runtime.Result) {
	t.lock()
	defer t.unlock()
	t.mu.failed = r.Err
	close(t.mu.closed)
	if t.mu.alone {
		t.say(func() { t.log.Info("a tier of the cache has closed after all", slog.Any("error", r.Err)) })
	}
}

// Close waits until all calls have returned and the adapter has closed. If ctx ends
// before that, the error says what is under way and what it holds, and the adapter
// closes when the last of it returns. An adapter without calls has a second to close
// although ctx has ended.
func (t *Tier) Close(ctx context.Context) error {
	t.Leave()
	err := t.await(ctx, t.mu.closed, 0)
	if err != nil && t.quiet() {
		err = t.await(context.WithoutCancel(ctx), t.mu.closed, grace)
	}
	t.lock()
	defer t.unlock()
	if err != nil {
		t.mu.alone = true
		return fmt.Errorf("storage: close: tier %s: %s: %w: %w", t.o.Name, t.heldLocked(t.rt.Now()), ErrBusy, err)
	}
	if err := t.mu.failed; err != nil {
		return fmt.Errorf("storage: close: tier %s: %w", t.o.Name, err)
	}
	return nil
}

// quiet reports whether no call is under way.
func (t *Tier) quiet() bool {
	t.lock()
	defer t.unlock()
	return len(t.mu.calls) == 0
}

// heldLocked says what calls are under way.
func (t *Tier) heldLocked(now time.Time) string {
	if len(t.mu.calls) == 0 {
		return "the adapter is closing"
	}
	keys, bytes := 0, int64(0)
	for _, c := range t.mu.calls {
		keys += c.keys
		bytes += c.bytes
	}
	c := t.mu.calls[0]
	return fmt.Sprintf("%d calls hold %d bytes of %d keys, the oldest, %s of %d keys, for %v", len(t.mu.calls), bytes, keys, c.op, c.keys, now.Sub(c.began))
}

// await returns when done is closed. A limit bounds the wait; 0: ctx alone does.
func (t *Tier) await(ctx context.Context, done <-chan struct{}, limit time.Duration) error {
	for {
		select {
		case <-done:
			return nil
		default:
		}
		until := t.rt.Now().Add(time.Hour)
		if limit > 0 {
			until = t.rt.Now().Add(limit)
		}
		if t.rt.Wait(ctx, done, until) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if t.rt.Now().Before(until) {
			return runtime.ErrClosed
		}
		if limit > 0 {
			return context.DeadlineExceeded
		}
	}
}
