package tier

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l2"
)

// State says whether calls reach the adapter.
type State string

// States of the breaker.
const (
	StateClosed   State = "closed"
	StateOpen     State = "open"
	StateHalfOpen State = "half_open"
)

// breaker keeps calls away from a store that cannot be reached. It opens after some
// failures in a row, and asks the store itself from time to time, with one call.
type breaker struct {
	s        l2.Breaker
	state    State
	failures int           // in a row
	round    uint64        // raised when it opens: outcomes of older calls do not count
	cooldown time.Duration // of the present opening, without jitter
	retryAt  time.Time     // open: of the next probe
	reason   string        // why it is open
	timer    runtime.Timer
	stopped  bool
}

// verdict is what the outcome of a call says of the store: that it has answered, or why
// it could not be talked to. Some outcomes say neither. Only what the store itself must
// have said is an answer.
func verdict(err error, items []l2.Item) (answered bool, failed error) {
	if err != nil {
		if l2.Unreachable(err) {
			return false, err
		}
		return false, nil
	}
	for i := range items {
		switch e := items[i].Err; {
		case e == nil:
			if items[i].N > 0 {
				return true, nil
			}
		case !l2.Unreachable(e):
			if r := l2.ReasonOf(e); r != l2.ReasonSerde && r != l2.ReasonIO && r != l2.ReasonClosed {
				return true, nil
			}
		case failed == nil:
			failed = e
		}
	}
	return false, failed
}

// success ends a row of failures.
func (b *breaker) success(t *Tier, round uint64, now time.Time) {
	t.mu.counts.lastSuccess = now
	if round == b.round && b.state == StateClosed {
		b.failures = 0
	}
}

// failure counts a failure and opens the breaker if it is one too many.
func (b *breaker) failure(t *Tier, round uint64, err error, now time.Time) {
	t.mu.counts.lastFailure = now
	if round != b.round || b.state != StateClosed {
		return
	}
	if b.failures++; b.failures >= b.s.Failures {
		b.open(t, string(l2.ReasonOf(err)), err, now)
	}
}

// open keeps calls away for a while. What waits fails.
func (b *breaker) open(t *Tier, reason string, err error, now time.Time) {
	if b.stopped {
		return
	}
	from := b.state
	if b.cooldown == 0 {
		b.cooldown = b.s.Cooldown
	} else {
		b.cooldown = min(2*b.cooldown, b.s.MaxCooldown)
	}
	b.round++
	b.reason = reason
	b.retryAt = now.Add(jitter(b.cooldown, t.rt.Rand()))
	b.timer = t.rt.At(b.retryAt, t.probe)
	b.change(t, from, StateOpen, reason, now)
	wait := b.retryAt.Sub(now)
	t.say(func() {
		t.log.Warn("a tier of the cache is not asked for a while", slog.String("from", string(from)), slog.String("to", string(StateOpen)),
			slog.String("reason", reason), slog.Duration("retry_in", wait), slog.Any("error", err))
	})
	t.failQueuedLocked(ErrOpen)
}

func (b *breaker) change(t *Tier, from, to State, reason string, at time.Time) {
	b.state = to
	t.o.Sink.StateChanged(from, to, reason, at)
}

// stop ends the probes.
func (b *breaker) stop() {
	b.stopped = true
	if b.timer != nil {
		b.timer.Stop()
	}
}

// probe asks the store for one key after the cooldown.
func (t *Tier) probe() {
	t.lock()
	defer t.unlock()
	b := &t.mu.breaker
	if b.stopped || b.state != StateOpen {
		return
	}
	now := t.rt.Now()
	b.timer = nil
	b.change(t, StateOpen, StateHalfOpen, "probe", now)
	t.say(func() {
		t.log.Info("a tier of the cache is tried again", slog.String("from", string(StateOpen)), slog.String("to", string(StateHalfOpen)))
	})
	fail := func(err error) {
		if b.state == StateHalfOpen {
			b.open(t, string(l2.ReasonOf(err)), err, t.rt.Now())
		}
	}
	key := probeKey(b.round)
	t.startLocked(&call{
		op: opLookup, keys: 1, deadline: now.Add(t.s.Timeouts.Lookup),
		do: func(ctx context.Context) error {
			_, err := t.has(ctx, key)
			return err
		},
		done: func(err error) {
			switch {
			case errors.Is(err, l2.ErrRefused): // it is there, and no wait will change its mind
				t.say(func() { t.log.Warn("a tier of the cache can be reached, but refuses a lookup", slog.Any("error", err)) })
			case err != nil:
				fail(err)
				return
			}
			b.close(t, t.rt.Now())
		},
		lost: func() { fail(l2.ErrTimeout) },
		back: func() {},
	}, now)
}

// close lets calls through again.
func (b *breaker) close(t *Tier, now time.Time) {
	if b.stopped || b.state != StateHalfOpen {
		return
	}
	b.failures, b.cooldown, b.reason = 0, 0, ""
	t.mu.counts.lastSuccess = now
	b.change(t, StateHalfOpen, StateClosed, "answered", now)
	t.say(func() {
		t.log.Info("a tier of the cache is back", slog.String("from", string(StateHalfOpen)), slog.String("to", string(StateClosed)))
	})
	t.later(t.o.Sink.Room)
	if s := t.mu.scan; s != nil && s.waits {
		t.scanLocked(s, now)
	}
}
