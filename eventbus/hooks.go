package eventbus

import (
	"slices"
	"time"
)

// The names of hooks in the log.
const (
	afterBatchName = "AfterBatch"
	everyName      = "Every"
)

// hook is a function that a subscription registered besides its handlers.
type hook struct {
	sub   *Subscription
	name  string
	batch func()          // AfterBatch
	timed func(time.Time) // Every
	every time.Duration
	due   time.Time // consumer only once attached; zero: from the first tick on
}

// hooks are those of one lane in order of registration. They never change; lanes
// swap them.
type hooks struct{ batch, timed []*hook }

// due is when the next timed hook is.
func (h *hooks) due() (next time.Time, ok bool) {
	for _, t := range h.timed {
		if !ok || t.due.Before(next) {
			next, ok = t.due, true
		}
	}
	return next, ok
}

// attachHooks adds the hooks of s and lets the consumer look at them. Bus.mu is held.
func (l *lane) attachHooks(s *Subscription, now time.Time) {
	old := l.hooks.Load()
	next := &hooks{batch: slices.Clone(old.batch), timed: slices.Clone(old.timed)}
	for _, h := range s.hooks {
		if h.batch != nil {
			next.batch = append(next.batch, h)
			continue
		}
		if !now.IsZero() {
			h.due = now.Add(h.every)
		}
		next.timed = append(next.timed, h)
	}
	l.hooks.Store(next)
	l.mu.Lock()
	wake := l.claimLocked()
	l.mu.Unlock()
	if wake {
		l.signal()
	}
}

// detachHooks removes the hooks of s. Bus.mu is held.
func (l *lane) detachHooks(s *Subscription) {
	old := l.hooks.Load()
	others := func(h *hook) bool { return h.sub == s }
	l.hooks.Store(&hooks{
		batch: slices.DeleteFunc(slices.Clone(old.batch), others),
		timed: slices.DeleteFunc(slices.Clone(old.timed), others),
	})
}

func (l *lane) afterBatch() {
	from := l.cost.now()
	for _, h := range l.hooks.Load().batch {
		l.hook = h
		l.guarded((*lane).callBatchHook)
		l.hook = nil
		from = l.cost.hook(h.sub.cost, from)
	}
}

// tick calls every timed hook that is due at now, once, however late it is.
func (l *lane) tick(now time.Time) {
	for _, h := range l.hooks.Load().timed {
		if h.due.IsZero() {
			h.due = now.Add(h.every)
			continue
		}
		if now.Before(h.due) {
			continue
		}
		if h.due = h.due.Add(h.every); !h.due.After(now) {
			h.due = now.Add(h.every)
		}
		from := l.cost.now()
		l.hook, l.tickAt = h, now
		l.guarded((*lane).callTimedHook)
		l.hook = nil
		l.cost.hook(h.sub.cost, from)
	}
}

func (l *lane) callBatchHook() { l.hook.batch() }
func (l *lane) callTimedHook() { l.hook.timed(l.tickAt) }
