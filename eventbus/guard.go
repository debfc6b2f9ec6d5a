package eventbus

import (
	"errors"
	"maps"
	"runtime/debug"
	"sync"
	"time"
)

// logEvery is how often drop warnings, and errors of one callback, are logged.
const logEvery = time.Second

var errGoexit = errors.New("the callback called runtime.Goexit")

// guarded calls f and turns a panic into an error of the callback being called.
// It is entered once per batch and once more per panic, not once per event.
func (l *lane) guarded(f func(*lane)) {
	done := false
	defer func() {
		if done {
			return
		}
		if v := recover(); v != nil {
			l.blame(v, debug.Stack())
		} // else runtime.Goexit, which goes on through here
	}()
	f(l)
	done = true
}

// blame accounts for the callback that was called last.
func (l *lane) blame(v any, stack []byte) {
	switch {
	case l.hook != nil:
		l.bus.failed(l.hook.sub, l.hook.name, v, stack)
		l.hook = nil
	case l.pos < len(l.batch):
		if s, event := l.columns[l.batch[l.pos].column].culprit(); s != nil {
			l.bus.failed(s, event, v, stack)
		}
	}
}

// failures are the panics of all callbacks of a bus.
type failures struct {
	mu struct {
		sync.Mutex
		panics map[string]uint64 // by subscriber
		recent map[callback]*recent
	}
}

// callback is a place where a subscriber is called: the wire name of an event,
// AfterBatch or Every.
type callback struct {
	sub  *Subscription
	what string
}

// recent is what was logged of a callback.
type recent struct {
	at    time.Time
	count uint64 // failures so far
}

// failed counts a panic and logs it, unless that callback was in the log less
// than a second ago.
func (b *Bus) failed(s *Subscription, what string, v any, stack []byte) {
	count, due := b.failures.count(s, what, b.now())
	if due {
		b.opts.Logger.Error("EventBus: error in callback "+s.name+" for "+what,
			"panic", v, "count", count, "stack", string(stack))
	}
}

func (f *failures) count(s *Subscription, what string, now time.Time) (count uint64, due bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.panics == nil {
		f.mu.panics = make(map[string]uint64)
		f.mu.recent = make(map[callback]*recent)
	}
	f.mu.panics[s.name]++
	key := callback{s, what}
	r := f.mu.recent[key]
	if r == nil {
		r = &recent{}
		f.mu.recent[key] = r
	}
	r.count++
	if r.count > 1 && now.Sub(r.at) < logEvery {
		return r.count, false
	}
	r.at = now
	return r.count, true
}

// forget drops what is remembered of the callbacks of s, but not its panics.
func (f *failures) forget(s *Subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.mu.recent, func(c callback, _ *recent) bool { return c.sub == s })
}

func (f *failures) bySubscriber() map[string]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.mu.panics)
}
