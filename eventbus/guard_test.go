package eventbus_test

import (
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
)

// REQ-O33: a panicking handler loses its event alone.
func TestREQ_O33_PanicIsIsolated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &journal{}
		b := newBus(t, eventbus.Options{Logger: slog.New(log)})
		var first, last []int
		on(t, b, "First", func(e tick, _ time.Time) { first = append(first, e.N) })
		subscribe(t, b, "Broken", func(s *eventbus.Subscription) {
			eventbus.On(s, func(e tick, _ time.Time) {
				if e.N%2 == 0 {
					panic("even")
				}
			})
			eventbus.On(s, func(alarm, time.Time) { panic("alarm") })
		})
		on(t, b, "Last", func(e tick, _ time.Time) { last = append(last, e.N) })
		on(t, b, "Last", func(e alarm, _ time.Time) { last = append(last, -e.N) })

		ticks, alarms := eventbus.TopicOf[tick](b), eventbus.TopicOf[alarm](b)
		for i := range 6 {
			ticks.Publish(tick{i})
		}
		alarms.Publish(alarm{9})
		flush(t, b)
		if want := []int{0, 1, 2, 3, 4, 5}; !slices.Equal(first, want) || !slices.Equal(last, append(want, -9)) {
			t.Errorf("others got %v and %v", first, last)
		}
		if d := cmp.Diff(map[string]uint64{"Broken": 4}, b.Stats().Panics); d != "" {
			t.Errorf("panics (-want +got):\n%s", d)
		}
		if r := row(t, b, "test.tick"); r.Delivered != 6 {
			t.Errorf("%+v", r)
		}

		// Logged once a second per subscriber and type, with stack and count.
		want := []string{
			"EventBus: error in callback Broken for test.tick",
			"EventBus: error in callback Broken for test.alarm",
		}
		if d := cmp.Diff(want, log.texts()); d != "" {
			t.Fatalf("log (-want +got):\n%s", d)
		}
		l := log.lines()[0]
		if stack, _ := l.attrs["stack"].(string); l.level != slog.LevelError || l.attrs["panic"] != "even" ||
			!strings.Contains(stack, "guard_test.go") {
			t.Errorf("logged %+v", l)
		}
		time.Sleep(time.Second)
		ticks.Publish(tick{6})
		ticks.Publish(tick{8})
		flush(t, b)
		lines := log.lines()
		if len(lines) != 3 || lines[2].attrs["count"] != uint64(4) {
			t.Errorf("a second later: %d lines, the last %+v; want the 4th failure", len(lines), lines[len(lines)-1])
		}
	})
}

func TestPanicsInHooks(t *testing.T) {
	log := &journal{}
	b := newBus(t, eventbus.Options{Manual: true, Logger: slog.New(log)})
	var calls []string
	subscribe(t, b, "Broken", func(s *eventbus.Subscription) {
		s.AfterBatch(func() { panic("batch") })
		s.Every(time.Second, func(time.Time) { panic("timed") })
	})
	subscribe(t, b, "Sound", func(s *eventbus.Subscription) {
		eventbus.On(s, func(tick, time.Time) { calls = append(calls, "tick") })
		s.AfterBatch(func() { calls = append(calls, "batch") })
		s.Every(time.Second, func(time.Time) { calls = append(calls, "timed") })
	})
	now := time.Now()
	b.Drain(now)
	eventbus.TopicOf[tick](b).Publish(tick{})
	b.Drain(now.Add(time.Second))
	if want := []string{"tick", "batch", "timed"}; !slices.Equal(calls, want) {
		t.Errorf("calls %v, want %v", calls, want)
	}
	want := []string{"EventBus: error in callback Broken for AfterBatch", "EventBus: error in callback Broken for Every"}
	if got := log.texts(); !slices.Equal(got, want) {
		t.Errorf("log %q, want %q", got, want)
	}
	if got := b.Stats().Panics["Broken"]; got != 2 {
		t.Errorf("%d panics counted", got)
	}
}

// A handler that ends its goroutine does not end the bus.
func TestGoexit(t *testing.T) {
	log := &journal{}
	b := newBus(t, eventbus.Options{Logger: slog.New(log)})
	var got []int
	on(t, b, "Quitter", func(e tick, _ time.Time) {
		if e.N == 1 {
			runtime.Goexit()
		}
	})
	on(t, b, "Other", func(e tick, _ time.Time) { got = append(got, e.N) })
	subscribe(t, b, "Alone", func(s *eventbus.Subscription) {
		s.Isolated(10, eventbus.Drop)
		eventbus.On(s, func(tick, time.Time) {})
		s.AfterBatch(runtime.Goexit)
	})
	for i := range 4 {
		eventbus.TopicOf[tick](b).Publish(tick{i})
	}
	flush(t, b)
	eventbus.TopicOf[tick](b).Publish(tick{4})
	flush(t, b)
	if !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
		t.Errorf("the other got %v", got)
	}
	if s := b.Stats(); s.Panics["Quitter"] != 1 || s.Panics["Alone"] == 0 {
		t.Errorf("counted %v", s.Panics)
	}
	if got := log.texts(); !slices.Contains(got, "EventBus: error in callback Quitter for test.tick") ||
		!slices.Contains(got, "EventBus: error in callback Alone for AfterBatch") {
		t.Errorf("log %q", got)
	}
}

// A panic in the middle of a long batch neither repeats nor skips anything, on
// whatever record it falls.
func TestPanicAnywhereInABatch(t *testing.T) {
	for bad := range 70 {
		b := eventbus.New(eventbus.Options{Manual: true, Queue: 20_000}) // begun is stored every 39 events
		var got []int
		on(t, b, "Before", func(e tick, _ time.Time) { got = append(got, e.N) })
		on(t, b, "Broken", func(e tick, _ time.Time) {
			if e.N == bad || e.N == bad+1 {
				panic("bad")
			}
		})
		on(t, b, "After", func(e tick, _ time.Time) { got = append(got, e.N) })
		on(t, b, "Alarms", func(e alarm, _ time.Time) { got = append(got, e.N, e.N) })
		var want []int
		for i := range 72 {
			if want = append(want, i, i); i%30 == 29 {
				eventbus.TopicOf[alarm](b).Publish(alarm{i})
				continue
			}
			eventbus.TopicOf[tick](b).Publish(tick{i})
		}
		b.Drain(time.Now())
		if !slices.Equal(got, want) {
			t.Fatalf("panic at %d: delivered %v", bad, got)
		}
		if s := b.Stats(); s.Bulk.Events != 0 || s.Reserved.Events != 0 {
			t.Fatalf("panic at %d: %+v waits", bad, s)
		}
		closeBus(t, b)
	}
}
