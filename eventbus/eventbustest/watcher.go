package eventbustest

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
)

// Record is one event that was delivered, with the publisher's time.
type Record struct {
	Event eventbus.Event
	At    time.Time
}

// Watcher records events of chosen types in order of delivery. It is safe for
// concurrent use.
type Watcher struct {
	t   testing.TB
	bus *eventbus.Bus
	mu  struct {
		sync.Mutex
		records []Record
		changed chan struct{} // closed at the next record
	}
}

// NewWatcher returns a Watcher that watches nothing yet.
func NewWatcher(t testing.TB, bus *eventbus.Bus) *Watcher {
	w := &Watcher{t: t, bus: bus}
	w.mu.changed = make(chan struct{})
	return w
}

// Watch lets w record events of type E from here on. Types are recorded in one
// order with each other, except those with EventIsolated, which come on their own
// way.
func Watch[E eventbus.Event](w *Watcher) {
	w.t.Helper()
	if _, err := w.bus.Subscribe(watch[E]{w}); err != nil {
		w.t.Fatalf("watching: %v", err)
	}
}

type watch[E eventbus.Event] struct{ w *Watcher }

func (watch[E]) Name() string { return "Watcher" }

func (w watch[E]) Subscribe(s *eventbus.Subscription) {
	var zero E
	if i, ok := any(zero).(eventbus.IsolatedEvent); ok && i.EventIsolated() {
		s.Isolated(0, eventbus.Drop)
	}
	eventbus.On(s, func(e E, at time.Time) { w.w.record(e, at) })
}

func (w *Watcher) record(e eventbus.Event, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.records = append(w.mu.records, Record{e, at})
	close(w.mu.changed)
	w.mu.changed = make(chan struct{})
}

// Records are all events recorded so far. The bus is flushed first.
func (w *Watcher) Records() []Record {
	w.t.Helper()
	flush(w.t, w.bus)
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mu.records)
}

// Events is Records without the times.
func (w *Watcher) Events() []eventbus.Event {
	w.t.Helper()
	records := w.Records()
	events := make([]eventbus.Event, len(records))
	for i, r := range records {
		events[i] = r.Event
	}
	return events
}

// Names are the wire names of Events.
func (w *Watcher) Names() []string {
	w.t.Helper()
	events := w.Events()
	names := make([]string, len(events))
	for i, e := range events {
		names[i] = e.EventName()
	}
	return names
}

// Clear forgets what was recorded so far. The bus is flushed first.
func (w *Watcher) Clear() {
	w.t.Helper()
	flush(w.t, w.bus)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.records = nil
}

// Of are the recorded events of type E. The bus is flushed first.
func Of[E eventbus.Event](w *Watcher) []E {
	w.t.Helper()
	var out []E
	for _, e := range w.Events() {
		if e, ok := e.(E); ok {
			out = append(out, e)
		}
	}
	return out
}

// Expect returns the first recorded event of type E that match accepts, and waits
// for it if there is none yet; a nil match accepts any. If none comes in 10
// seconds, the test fails. It must be called on the test's goroutine.
func Expect[E eventbus.Event](w *Watcher, match func(E) bool) E {
	w.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		w.mu.Lock()
		changed := w.mu.changed
		w.mu.Unlock()
		for _, e := range Of[E](w) {
			if match == nil || match(e) {
				return e
			}
		}
		select {
		case <-changed:
		case <-time.After(retry): // a manual bus delivers nothing by itself
		case <-deadline.C:
			var zero E
			w.t.Fatalf("no matching %s came; recorded: %s", zero.EventName(), strings.Join(w.Names(), ", "))
		}
	}
}

// ExpectNone fails the test if an event of type E was recorded. The bus is flushed
// first.
func ExpectNone[E eventbus.Event](w *Watcher) {
	w.t.Helper()
	if got := Of[E](w); len(got) > 0 {
		w.t.Errorf("%d unexpected %s, the first: %+v", len(got), got[0].EventName(), got[0])
	}
}
