package tier

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/l2"
)

// limitAgain is how long a limit that stands in the way is believed.
const limitAgain = time.Second

// shortAgain is how long nothing is said of a store that is still smaller than its
// capacity.
const shortAgain = 10 * time.Minute

// hearsay is what was heard and said of a store's own limit.
type hearsay struct {
	at      time.Time // when it was heard
	asking  bool      // the store is being asked
	shortAt time.Time // when it was last said that it is less than the capacity
	noneAt  time.Time // when it was last said that there is no room at all
}

// askLimit asks the store for its own limit, without the mutex.
func (t *Tier) askLimit() (limit int64, asked bool) {
	l, ok := l2.AbilityOf[l2.Limiter](t.adapter)
	if !ok {
		return -1, false
	}
	return l.Limit(t.held()), true
}

// held is the bytes that the store holds as far as is known.
func (t *Tier) held() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.index.bytes
}

// learnLimit takes the store's own limit over, without the mutex.
func (t *Tier) learnLimit() {
	if limit, ok := t.askLimit(); ok {
		t.lock()
		defer t.unlock()
		t.limitLocked(limit, t.rt.Now())
	}
}

// relearnLocked asks for the store's own limit, in the background, after it has kept an
// object out: without a call that stores, nobody would hear that there is room again.
func (t *Tier) relearnLocked(now time.Time) {
	if t.mu.limit < 0 || t.mu.heard.asking || t.mu.stopped || now.Sub(t.mu.heard.at) < limitAgain {
		return
	}
	t.mu.heard.asking = true
	var limit int64
	var asked bool
	t.startLocked(&call{
		op: opLimit,
		do: func(context.Context) error {
			limit, asked = t.askLimit()
			return nil
		},
		done: func(error) {
			t.mu.heard.asking = false
			if asked {
				t.limitLocked(limit, t.rt.Now())
			}
		},
		lost: func() {}, back: func() {},
	}, now)
}

// limitLocked takes the store's own limit over.
func (t *Tier) limitLocked(limit int64, now time.Time) {
	t.mu.limit, t.mu.heard.at = limit, now
	t.shortLocked(now)
}

// shortLocked tells of a store that has no room, or clearly less than its capacity. What it
// held at the start counts as its room, so nothing is said before that is known.
func (t *Tier) shortLocked(now time.Time) {
	limit, capacity := t.mu.limit, t.s.Capacity
	if limit < 0 || !t.mu.index.complete || t.mu.stopped || limit > 0 && limit >= capacity/10*9 {
		return
	}
	const gib = 1 << 30
	text, said := "a tier of the cache has no room: nothing is stored in it until others free some", &t.mu.heard.noneAt
	if limit > 0 {
		said = &t.mu.heard.shortAt
		text = fmt.Sprintf("a tier of the cache has room for %.2f GiB, less than its capacity of %.2f GiB: what else is free is kept for others", float64(limit)/gib, float64(capacity)/gib)
	}
	if !said.IsZero() && now.Sub(*said) < shortAgain {
		return
	}
	*said = now
	held := t.mu.index.bytes
	t.say(func() {
		t.log.Warn(text, slog.Int64("limit_bytes", limit), slog.Int64("capacity_bytes", capacity), slog.Int64("used_bytes", held))
	})
}
