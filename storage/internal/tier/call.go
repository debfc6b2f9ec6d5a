package tier

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l2"
)

// op is what a call does.
type op string

const (
	opStore  op = "store"
	opLoad   op = "load"
	opLookup op = "lookup"
	opDelete op = "delete"
	opScan   op = "scan"
	opList   op = "list"
	opLimit  op = "limit"
)

// call is one call of the adapter that has not returned.
type call struct {
	op       op
	keys     int
	bytes    int64
	began    time.Time
	job      *Job      // that it moves objects of; nil: none
	deadline time.Time // zero: none
	full     time.Time // when the time that the store has would be over; zero: at deadline
	cut      time.Time // when its context ends, of one whose deadline was raised; zero: at deadline
	named    time.Duration
	givenUp  bool
	over     bool   // it has returned
	err      error  // what it has returned
	round    uint64 // of the breaker when it began
	silent   bool   // its outcome says nothing to the breaker

	do   func(ctx context.Context) error // runs without the mutex
	done func(err error)                 // its outcome; under the mutex; not of one that was given up
	lost func()                          // it is given up; under the mutex
	back func()                          // one that was given up has returned; under the mutex
}

// over reports whether nobody waits any more, because of a deadline; zero: there is none.
func over(deadline, now time.Time) bool { return !deadline.IsZero() && !now.Before(deadline) }

// hurry ends a call soon after the deadline of those who wait for it, if it would go on
// for longer.
func (c *call) hurry(deadline time.Time) {
	if end := deadline.Add(drain); !deadline.IsZero() && end.Before(c.deadline) {
		c.full, c.deadline = c.deadline, end
	}
}

// raise gives a call that was hurried more time, for others who wait too. Its context
// cannot be given more.
func (c *call) raise(deadline time.Time) {
	if c.full.IsZero() {
		return
	}
	end := c.full
	if d := deadline.Add(drain); !deadline.IsZero() && d.Before(end) {
		end = d
	}
	if !end.After(c.deadline) {
		return
	}
	if c.cut.IsZero() {
		c.cut = c.deadline
	}
	c.deadline = end
}

// hasty reports whether a call has failed because of those who wait, who gave the store
// less than its time.
func (c *call) hasty(err error, now time.Time) bool {
	end := c.deadline
	if !c.cut.IsZero() {
		end = c.cut
	}
	return !c.full.IsZero() && !now.Before(end) && l2.ReasonOf(err) == l2.ReasonTimeout
}

// heardLocked tells the breaker of a call that has returned, unless it was hasty.
func (t *Tier) heardLocked(c *call, err error, items []l2.Item, now time.Time) {
	switch answered, failed := verdict(err, items); {
	case answered:
		t.mu.breaker.success(t, c.round, now)
	case failed != nil && t.ctx.Err() == nil && !c.hasty(failed, now):
		t.mu.breaker.failure(t, c.round, failed, now)
	}
}

// startLocked begins a call.
func (t *Tier) startLocked(c *call, now time.Time) {
	c.began, c.round, c.named = now, t.mu.breaker.round, patience
	t.mu.calls = append(t.mu.calls, c)
	t.armLocked(now)
	t.rt.Start(runtime.Call{
		Do:       func(ctx context.Context) error { return t.run(ctx, c) },
		Deadline: c.deadline, Tier: t.o.Index, Items: c.keys, Bytes: c.bytes,
	}, func(r runtime.Result) { t.returned(c, r.Err) })
}

// run is the call itself. A panic of the adapter is an error of it.
func (t *Tier) run(ctx context.Context, c *call) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	defer func() {
		if r := recover(); r != nil {
			t.log.ErrorContext(ctx, "an adapter of the cache panicked", slog.String("operation", string(c.op)),
				slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("%w: panic: %v", l2.ErrIO, r)
		}
	}()
	return c.do(ctx)
}

// returned ends a call.
func (t *Tier) returned(c *call, err error) {
	t.lock()
	now := t.rt.Now()
	c.over, c.err = true, err
	t.mu.counts.progress = now
	if c.givenUp {
		c.back()
	} else {
		c.done(err)
	}
	t.dispatchLocked(now)
	t.unlock() // those who wait for the outcome hear of it before the call is gone

	t.lock()
	defer t.unlock()
	t.mu.calls = slices.DeleteFunc(t.mu.calls, func(o *call) bool { return o == c })
	if len(t.mu.calls) == 0 && t.mu.closed != nil {
		t.leaveLocked()
	}
}

// armLocked sets the alarm for the call that is the first to be given up or named.
// One that is set earlier stays: it is a look at what there is then.
func (t *Tier) armLocked(now time.Time) {
	var due time.Time
	for _, c := range t.mu.calls {
		if c.over {
			continue
		}
		next := c.began.Add(c.named)
		if !c.givenUp && !c.deadline.IsZero() && c.deadline.Add(grace).Before(next) {
			next = c.deadline.Add(grace)
		}
		if c.givenUp && !c.full.IsZero() && c.full.Add(grace).Before(next) {
			next = c.full.Add(grace)
		}
		if due.IsZero() || next.Before(due) {
			due = next
		}
	}
	if due.IsZero() || t.mu.alarm != nil && !due.Before(t.mu.due) {
		return
	}
	if t.mu.alarm != nil && !t.mu.alarm.Stop() {
		return // it is going off
	}
	if due.Before(now) {
		due = now
	}
	t.mu.due = due
	t.mu.alarm = t.rt.At(due, t.look)
}

// look gives up calls whose time is over and names those that take long.
func (t *Tier) look() {
	t.lock()
	defer t.unlock()
	now := t.rt.Now()
	t.mu.alarm = nil
	for _, c := range t.mu.calls {
		age := now.Sub(c.began)
		if c.over {
			continue
		}
		if !c.givenUp && !c.deadline.IsZero() && !now.Before(c.deadline.Add(grace)) {
			c.givenUp = true
			if !c.silent && c.full.IsZero() {
				t.mu.breaker.failure(t, c.round, l2.ErrTimeout, now)
			}
			c.lost()
		}
		if !c.full.IsZero() && !now.Before(c.full.Add(grace)) { // it would have been too late for anybody
			c.full = time.Time{}
			t.mu.breaker.failure(t, c.round, l2.ErrTimeout, now)
		}
		if age >= c.named {
			for c.named <= age {
				c.named *= 2
			}
			t.nameLocked(c, age)
		}
	}
	t.dispatchLocked(now)
	t.armLocked(now)
}

// nameLocked logs a call that takes long.
func (t *Tier) nameLocked(c *call, age time.Duration) {
	attrs := []any{
		slog.String("operation", string(c.op)), slog.Int("keys", c.keys), slog.Int64("bytes", c.bytes),
		slog.Duration("age", age), slog.Bool("given_up", c.givenUp),
	}
	t.say(func() { t.log.Warn("a call of an adapter of the cache takes long", attrs...) })
}

// oldestLocked is the age of the oldest call that has not returned.
func (t *Tier) oldestLocked(now time.Time) time.Duration {
	if len(t.mu.calls) == 0 {
		return 0
	}
	return now.Sub(t.mu.calls[0].began)
}
