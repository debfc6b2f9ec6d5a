package eventbus_test

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
)

// The event types of the tests.
type (
	tick  struct{ N int } // bulk
	alarm struct{ N int } // reserved
	keyed struct {
		Keys []int
		N    int
	} // bulk, with keys
	vital struct {
		Keys []int
		N    int
	} // reserved, with keys
	call struct{ N int }    // isolated only
	wild struct{ Keys int } // a hostile number of keys
)

func (tick) EventName() string    { return "test.tick" }
func (alarm) EventName() string   { return "test.alarm" }
func (alarm) EventReserved() bool { return true }
func (keyed) EventName() string   { return "test.keyed" }
func (e keyed) EventKeys() int    { return len(e.Keys) }
func (vital) EventName() string   { return "test.vital" }
func (vital) EventReserved() bool { return true }
func (e vital) EventKeys() int    { return len(e.Keys) }
func (call) EventName() string    { return "test.call" }
func (call) EventIsolated() bool  { return true }
func (wild) EventName() string    { return "test.wild" }
func (e wild) EventKeys() int {
	if e.Keys == 13 {
		panic("unlucky")
	}
	return e.Keys
}

// subscriber is a Subscriber made of a function.
type subscriber struct {
	name string
	f    func(*eventbus.Subscription)
}

func (s subscriber) Name() string                         { return s.name }
func (s subscriber) Subscribe(sub *eventbus.Subscription) { s.f(sub) }

// closer is a subscriber with a Close.
type closer struct {
	subscriber
	close func() error
}

func (c closer) Close() error { return c.close() }

// subscribe subscribes a function.
func subscribe(t testing.TB, b *eventbus.Bus, name string, f func(*eventbus.Subscription)) *eventbus.Subscription {
	t.Helper()
	s, err := b.Subscribe(subscriber{name, f})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// on subscribes one handler.
func on[E eventbus.Event](t testing.TB, b *eventbus.Bus, name string, f func(E, time.Time)) *eventbus.Subscription {
	t.Helper()
	return subscribe(t, b, name, func(s *eventbus.Subscription) { eventbus.On(s, f) })
}

// newBus is New, closed at the end of the test.
func newBus(t testing.TB, o eventbus.Options) *eventbus.Bus {
	t.Helper()
	b := eventbus.New(o)
	t.Cleanup(func() { closeBus(t, b) })
	return b
}

// within is a context for what must not take long.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func flush(t testing.TB, b *eventbus.Bus) {
	t.Helper()
	if err := b.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
}

func closeBus(t testing.TB, b *eventbus.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Error(err)
	}
}

// row is the statistics of one type.
func row(t testing.TB, b *eventbus.Bus, name string) eventbus.TypeStats {
	t.Helper()
	for _, r := range b.Stats().Types {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no statistics of %s", name)
	return eventbus.TypeStats{}
}

// block makes the dispatcher of b stand in a handler until open is called.
func block(t testing.TB, b *eventbus.Bus) (open func()) {
	t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	on(t, b, "Gate", func(barrier, time.Time) {
		close(entered)
		<-leave
	})
	eventbus.TopicOf[barrier](b).Publish(barrier{})
	<-entered
	return func() { close(leave) }
}

type barrier struct{}

func (barrier) EventName() string { return "test.barrier" }

// journal is a slog.Handler that keeps what is logged.
type journal struct {
	mu struct {
		sync.Mutex
		lines []line
	}
}

type line struct {
	at    time.Time
	level slog.Level
	text  string
	attrs map[string]any
}

func (*journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler     { return j }
func (j *journal) WithGroup(string) slog.Handler          { return j }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	l := line{at: r.Time, level: r.Level, text: r.Message, attrs: map[string]any{}}
	r.Attrs(func(a slog.Attr) bool { l.attrs[a.Key] = a.Value.Any(); return true })
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mu.lines = append(j.mu.lines, l)
	return nil
}

func (j *journal) lines() []line {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.mu.lines)
}

func (j *journal) texts() []string {
	var out []string
	for _, l := range j.lines() {
		out = append(out, l.text)
	}
	return out
}

// consumers counts the goroutines of buses.
func consumers(t testing.TB) int {
	t.Helper()
	buf := make([]byte, 1<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), "created by github.com/lmcache-go/lmcache/eventbus.(*lane)")
}

func newLogger(j *journal) *slog.Logger { return slog.New(j) }
