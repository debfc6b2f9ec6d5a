package eventbustest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/eventbus/eventbustest"
)

type opened struct{ ID int }

func (opened) EventName() string { return "test.opened" }

type shut struct{ ID int }

func (shut) EventName() string { return "test.shut" }

type call struct{ ID int }

func (call) EventName() string   { return "test.call" }
func (call) EventIsolated() bool { return true }

func TestWatcherOrderAndTimes(t *testing.T) {
	for name, newBus := range map[string]func(testing.TB) *eventbus.Bus{
		"live": eventbustest.NewBus, "manual": eventbustest.NewManualBus,
	} {
		t.Run(name, func(t *testing.T) {
			bus := newBus(t)
			w := eventbustest.NewWatcher(t, bus)
			eventbustest.Watch[opened](w)
			eventbustest.Watch[shut](w)
			o, s := eventbus.TopicOf[opened](bus), eventbus.TopicOf[shut](bus)
			at := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
			o.PublishAt(opened{1}, at)
			s.PublishAt(shut{1}, at.Add(1))
			o.PublishAt(opened{2}, at.Add(2))
			want := []eventbustest.Record{{opened{1}, at}, {shut{1}, at.Add(1)}, {opened{2}, at.Add(2)}}
			if d := cmp.Diff(want, w.Records()); d != "" {
				t.Errorf("records (-want +got):\n%s", d)
			}
			if d := cmp.Diff([]string{"test.opened", "test.shut", "test.opened"}, w.Names()); d != "" {
				t.Errorf("names (-want +got):\n%s", d)
			}
			if d := cmp.Diff([]opened{{1}, {2}}, eventbustest.Of[opened](w)); d != "" {
				t.Errorf("of one type (-want +got):\n%s", d)
			}
			w.Clear()
			eventbustest.ExpectNone[opened](w)
			s.Publish(shut{3})
			if d := cmp.Diff([]eventbus.Event{shut{3}}, w.Events()); d != "" {
				t.Errorf("after Clear (-want +got):\n%s", d)
			}
		})
	}
}

func TestExpectWaits(t *testing.T) {
	for name, newBus := range map[string]func(testing.TB) *eventbus.Bus{
		"live": eventbustest.NewBus, "manual": eventbustest.NewManualBus,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus := newBus(t)
				w := eventbustest.NewWatcher(t, bus)
				eventbustest.Watch[opened](w)
				topic := eventbus.TopicOf[opened](bus)
				topic.Publish(opened{1})
				go func() {
					time.Sleep(3 * time.Second)
					topic.Publish(opened{2})
				}()
				got := eventbustest.Expect(w, func(e opened) bool { return e.ID > 1 })
				if got != (opened{2}) {
					t.Errorf("got %v", got)
				}
				if got := eventbustest.Expect[opened](w, nil); got != (opened{1}) {
					t.Errorf("nil match: got %v, want the first", got)
				}
			})
		})
	}
}

func TestWatchIsolatedType(t *testing.T) {
	bus := eventbustest.NewBus(t)
	w := eventbustest.NewWatcher(t, bus)
	eventbustest.Watch[call](w)
	eventbus.TopicOf[call](bus).Publish(call{7})
	if d := cmp.Diff([]call{{7}}, eventbustest.Of[call](w)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// failing records what a helper reports instead of failing the test.
type failing struct {
	testing.TB
	failed bool
}

func (f *failing) Helper()               {}
func (f *failing) Errorf(string, ...any) { f.failed = true }
func (f *failing) Fatalf(string, ...any) { f.failed = true }

func TestExpectNoneFails(t *testing.T) {
	bus := eventbustest.NewBus(t)
	f := &failing{TB: t}
	w := eventbustest.NewWatcher(f, bus)
	eventbustest.Watch[opened](w)
	eventbus.TopicOf[opened](bus).Publish(opened{1})
	if eventbustest.ExpectNone[opened](w); !f.failed {
		t.Error("an event that came did not fail the test")
	}
}

func TestBusFailsTestOnPanic(t *testing.T) {
	f := &failing{TB: t}
	bus := eventbustest.NewManualBus(f)
	_, err := bus.Subscribe(subscriber(func(s *eventbus.Subscription) {
		eventbus.On(s, func(opened, time.Time) { panic("broken") })
	}))
	if err != nil {
		t.Fatal(err)
	}
	eventbus.TopicOf[opened](bus).Publish(opened{1})
	if bus.Drain(time.Now()); !f.failed {
		t.Error("a panic of a handler did not fail the test")
	}
}

type subscriber func(*eventbus.Subscription)

func (subscriber) Name() string                         { return "Subscriber" }
func (f subscriber) Subscribe(s *eventbus.Subscription) { f(s) }

// counter is a subscriber as users write them.
type counter struct{ open, total int }

func (*counter) Name() string { return "Counter" }

func (c *counter) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(opened, time.Time) { c.open++; c.total++ })
	eventbus.On(s, func(shut, time.Time) { c.open-- })
	s.Every(time.Minute, func(time.Time) { c.total = 0 })
}

func TestRunSubscriber(t *testing.T) {
	eventbustest.RunSubscriber(t,
		func(testing.TB) eventbus.Subscriber { return &counter{} },
		func(b *eventbus.Bus) {
			eventbus.TopicOf[opened](b).Publish(opened{1})
			eventbus.TopicOf[shut](b).Publish(shut{1})
			eventbus.TopicOf[shut](b).Publish(shut{2})
		})
}
