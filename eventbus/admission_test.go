package eventbus_test

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lmcache-go/lmcache/eventbus"
)

func TestREQ_O30_LimitOfEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &journal{}
		b := newBus(t, eventbus.Options{Queue: 4, Reserved: 3, Keys: 100, Logger: slog.New(log)})
		var got []int
		on(t, b, "Ticks", func(e tick, _ time.Time) { got = append(got, e.N) })
		on(t, b, "Alarms", func(alarm, time.Time) {})
		open := block(t, b)

		ticks, alarms := eventbus.TopicOf[tick](b), eventbus.TopicOf[alarm](b)
		for i := range 10 {
			ticks.Publish(tick{i})
		}
		for i := range 5 {
			alarms.Publish(alarm{i})
		}
		s := b.Stats()
		want := eventbus.ClassStats{Events: 4, EventLimit: 4, KeyLimit: 100}
		if s.Bulk != want {
			t.Errorf("bulk %+v, want %+v", s.Bulk, want)
		}
		want = eventbus.ClassStats{Events: 3, EventLimit: 3, KeyLimit: 100}
		if s.Reserved != want {
			t.Errorf("reserved %+v, want %+v", s.Reserved, want)
		}
		if s.Dropped != 6+2 {
			t.Errorf("%d dropped in all, want 8", s.Dropped)
		}

		// The first loss is told at once, although the dispatcher is stuck.
		synctest.Wait()
		if got := log.texts(); len(got) != 1 || !strings.HasPrefix(got[0], "EventBus queue full (max_queue_size=4), ") {
			t.Fatalf("log at once: %q", got)
		}
		// Further ones once a second, with the cumulative number, while there are any.
		for range 100 {
			ticks.Publish(tick{})
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		lines := log.lines()
		if n := len(lines); n < 5 || n > 7 {
			t.Errorf("%d warnings in the 5 seconds of losses and 10 without, want one per second of losses", n)
		}
		for i, l := range lines[1:] {
			if d := l.at.Sub(lines[i].at); d < time.Second {
				t.Errorf("two warnings within %v", d)
			}
			if l.level != slog.LevelWarn {
				t.Errorf("level %v", l.level)
			}
		}
		if got, want := lines[len(lines)-1].text, "EventBus queue full (max_queue_size=4), 108 event(s) discarded so far"; got != want {
			t.Errorf("last warning %q, want %q", got, want)
		}

		open()
		flush(t, b)
		if !slices.Equal(got, []int{0, 1, 2, 3}) {
			t.Errorf("delivered %v, want the first four", got)
		}
		want2 := []eventbus.TypeStats{
			{Name: "test.alarm", Class: eventbus.Reserved, Published: 5, Delivered: 3, Dropped: 2},
			{Name: "test.barrier", Published: 1, Delivered: 1},
			{Name: "test.tick", Published: 110, Delivered: 4, Dropped: 106},
		}
		if d := cmp.Diff(want2, b.Stats().Types); d != "" {
			t.Errorf("types (-want +got):\n%s", d)
		}
	})
}

func TestREQ_O30_LimitOfKeys(t *testing.T) {
	b := newBus(t, eventbus.Options{Queue: 100, Keys: 10})
	var got []int
	on(t, b, "Keyed", func(e keyed, _ time.Time) { got = append(got, e.N) })
	on(t, b, "Vital", func(vital, time.Time) {})
	on(t, b, "Ticks", func(tick, time.Time) {})
	open := block(t, b)

	topic := eventbus.TopicOf[keyed](b)
	for i, n := range []int{4, 4, 3, 2, 1, 0} { // 4+4+2 fit, 3 and 1 do not, 0 always does
		topic.Publish(keyed{Keys: make([]int, n), N: i})
	}
	eventbus.TopicOf[vital](b).Publish(vital{Keys: make([]int, 10)}) // the other class has its own
	eventbus.TopicOf[tick](b).Publish(tick{})                        // no keys, no limit of keys
	s := b.Stats()
	if s.Bulk.Keys != 10 || s.Reserved.Keys != 10 || s.Bulk.Events != 5 || s.Dropped != 2 {
		t.Errorf("%+v", s)
	}
	open()
	flush(t, b)
	if !slices.Equal(got, []int{0, 1, 3, 5}) {
		t.Errorf("delivered %v, want 0 1 3 5", got)
	}
	if r := row(t, b, "test.keyed"); r.Published != 6 || r.Delivered != 4 || r.Dropped != 2 {
		t.Errorf("%+v", r)
	}
	if s := b.Stats(); s.Bulk.Keys != 0 || s.Reserved.Keys != 0 || s.Bulk.Events != 0 {
		t.Errorf("once quiet: %+v", s)
	}
}

// An event with more keys than the limit passes alone, never beside others.
func TestOversizedEvent(t *testing.T) {
	b := newBus(t, eventbus.Options{Manual: true, Keys: 10})
	var got []int
	on(t, b, "Keyed", func(e keyed, _ time.Time) { got = append(got, e.N) })
	topic := eventbus.TopicOf[keyed](b)
	topic.Publish(keyed{make([]int, 50), 1})
	topic.Publish(keyed{make([]int, 1), 2})
	b.Drain(time.Now())
	topic.Publish(keyed{make([]int, 1), 3})
	topic.Publish(keyed{make([]int, 50), 4})
	b.Drain(time.Now())
	if !slices.Equal(got, []int{1, 3}) {
		t.Errorf("delivered %v, want 1 3", got)
	}
}

func TestHostileKeyCounts(t *testing.T) {
	b := newBus(t, eventbus.Options{Manual: true})
	n := 0
	on(t, b, "Wild", func(wild, time.Time) { n++ })
	topic := eventbus.TopicOf[wild](b)
	for _, keys := range []int{-1, 13, math.MinInt, math.MaxInt} { // 13 panics
		topic.Publish(wild{keys})
		b.Drain(time.Now())
	}
	if s := b.Stats(); n != 4 || s.Bulk.Keys != 0 {
		t.Errorf("%d of 4 delivered, %d keys wait", n, s.Bulk.Keys)
	}
}

func TestREQ_O31_FloodCostsNoReservedEvent(t *testing.T) {
	const flood, pairs = 10_000, 500
	b := newBus(t, eventbus.Options{Queue: 1000})
	open := map[int]bool{}
	closed, stray := 0, 0
	subscribe(t, b, "Pairs", func(s *eventbus.Subscription) {
		eventbus.On(s, func(e began, _ time.Time) { open[e.ID] = true })
		eventbus.On(s, func(e ended, _ time.Time) {
			if !open[e.ID] {
				stray++
			}
			delete(open, e.ID)
			closed++
		})
		eventbus.On(s, func(tick, time.Time) {})
		eventbus.On(s, func(keyed, time.Time) {})
	})
	release := block(t, b)
	starts, ends := eventbus.TopicOf[began](b), eventbus.TopicOf[ended](b)
	ticks, keys := eventbus.TopicOf[tick](b), eventbus.TopicOf[keyed](b)
	list := make([]int, 1000) // of keys too: 10 times the limit
	for i := range flood {
		if i%(flood/pairs) == 0 {
			starts.Publish(began{i})
		}
		if ticks.Publish(tick{i}); i%2 == 0 {
			keys.Publish(keyed{list, i})
		}
		if i%(flood/pairs) == flood/pairs-1 {
			ends.Publish(ended{i - flood/pairs + 1})
		}
	}
	if s := b.Stats(); s.Bulk.Events != 1000 || s.Dropped != flood+flood/2-1000 {
		t.Errorf("the flood was not one: %d wait, %d dropped", s.Bulk.Events, s.Dropped)
	}
	release()
	flush(t, b)
	if closed != pairs || stray != 0 || len(open) != 0 {
		t.Errorf("%d of %d pairs closed, %d ends without start, %d left open", closed, pairs, stray, len(open))
	}
	for _, name := range []string{"test.began", "test.ended"} {
		want := eventbus.TypeStats{Name: name, Class: eventbus.Reserved, Published: pairs, Delivered: pairs}
		if d := cmp.Diff(want, row(t, b, name)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
}

type (
	began struct{ ID int }
	ended struct{ ID int }
)

func (began) EventName() string   { return "test.began" }
func (began) EventReserved() bool { return true }
func (ended) EventName() string   { return "test.ended" }
func (ended) EventReserved() bool { return true }

func TestDefaults(t *testing.T) {
	b := newBus(t, eventbus.Options{})
	want := eventbus.ClassStats{EventLimit: 10_000, KeyLimit: 1_000_000}
	got := b.Stats()
	if d := cmp.Diff(eventbus.Stats{Bulk: want, Reserved: want}, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	b = newBus(t, eventbus.Options{Queue: 7})
	if got := b.Stats().Reserved.EventLimit; got != 7 {
		t.Errorf("reserved limit %d, want that of bulk", got)
	}
	if got := fmt.Sprint(eventbus.Bulk, eventbus.Reserved); got != "bulk reserved" {
		t.Errorf("classes are spelled %q", got)
	}
}
