package eventbus_test

import (
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
)

func TestHandlersRunInOrderOfRegistration(t *testing.T) {
	b := newBus(t, eventbus.Options{Manual: true})
	var got []string
	add := func(name string) *eventbus.Subscription {
		return subscribe(t, b, name, func(s *eventbus.Subscription) {
			eventbus.On(s, func(tick, time.Time) { got = append(got, name) })
			eventbus.On(s, func(tick, time.Time) { got = append(got, name+"2") })
			s.AfterBatch(func() { got = append(got, name+" batch") })
		})
	}
	topic := eventbus.TopicOf[tick](b)
	add("A")
	second := add("B")
	add("C")
	topic.Publish(tick{})
	b.Drain(time.Now())
	if want := []string{"A", "A2", "B", "B2", "C", "C2", "A batch", "B batch", "C batch"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	got = nil
	second.Close()
	add("B")
	topic.Publish(tick{})
	b.Drain(time.Now())
	if want := []string{"A", "A2", "C", "C2", "B", "B2", "A batch", "C batch", "B batch"}; !slices.Equal(got, want) {
		t.Errorf("resubscribed: got %v, want %v", got, want)
	}
}

func TestActiveFollowsSubscriptions(t *testing.T) {
	b := newBus(t, eventbus.Options{})
	topic := eventbus.TopicOf[tick](b)
	steps := []bool{topic.Active()}
	one := on(t, b, "One", func(tick, time.Time) {})
	steps = append(steps, topic.Active())
	two := subscribe(t, b, "Two", func(s *eventbus.Subscription) {
		s.Isolated(1, eventbus.Drop)
		eventbus.On(s, func(tick, time.Time) {})
	})
	one.Close()
	steps = append(steps, topic.Active())
	two.Close()
	steps = append(steps, topic.Active(), eventbus.TopicOf[alarm](b).Active(), eventbus.Topic[tick]{}.Active())
	if want := []bool{false, true, true, false, false, false}; !slices.Equal(steps, want) {
		t.Errorf("active: %v, want %v", steps, want)
	}
	eventbus.Topic[tick]{}.Publish(tick{}) // inert, not fatal
	topic.Publish(tick{})
	if r := row(t, b, "test.tick"); r.Published != 0 {
		t.Errorf("published to nobody, but counted: %+v", r)
	}
}

// After Close returns no handler or hook runs, whatever goes on.
func TestCloseSubscriptionIsFinal(t *testing.T) {
	for _, isolated := range []bool{false, true} {
		b := newBus(t, eventbus.Options{})
		on(t, b, "Other", func(tick, time.Time) {})
		topic := eventbus.TopicOf[tick](b)
		var stop atomic.Bool
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for n := 0; !stop.Load(); n++ {
					if topic.Publish(tick{}); n%64 == 0 {
						runtime.Gosched()
					}
				}
			})
		}
		for range 50 {
			var closed, late atomic.Bool
			called := make(chan struct{}, 1)
			check := func() {
				if closed.Load() {
					late.Store(true)
				}
				select {
				case called <- struct{}{}:
				default:
				}
			}
			s := subscribe(t, b, "S", func(s *eventbus.Subscription) {
				if isolated {
					s.Isolated(0, eventbus.Drop)
				}
				eventbus.On(s, func(tick, time.Time) { check() })
				s.AfterBatch(check)
				s.Every(time.Microsecond, func(time.Time) { check() })
			})
			<-called
			s.Close()
			closed.Store(true)
			s.Close()
			flush(t, b)
			if late.Load() {
				t.Fatalf("isolated %v: called after Close", isolated)
			}
		}
		stop.Store(true)
		wg.Wait()
	}
}

// What waits in an isolated queue when its subscription ends is counted as dropped.
func TestCloseIsolatedCountsWhatWaits(t *testing.T) {
	for _, manual := range []bool{false, true} {
		b := newBus(t, eventbus.Options{Manual: manual})
		entered, leave := make(chan struct{}), make(chan struct{})
		n := 0
		s := subscribe(t, b, "S", func(s *eventbus.Subscription) {
			s.Isolated(100, eventbus.Drop)
			eventbus.On(s, func(tick, time.Time) {
				if n++; !manual {
					close(entered)
					<-leave
				}
			})
		})
		topic := eventbus.TopicOf[tick](b)
		topic.Publish(tick{})
		if !manual {
			<-entered
		}
		for range 9 {
			topic.Publish(tick{})
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Close()
		}()
		for topic.Active() { // until Close has begun
			runtime.Gosched()
		}
		close(leave)
		<-done
		want := uint64(9)
		if manual {
			want = 10
		}
		if got := row(t, b, "test.tick").IsolatedDropped; got != want || n != int(10-want) {
			t.Errorf("manual %v: %d handled, %d dropped, want %d", manual, n, got, want)
		}
		if q := b.Stats().Isolated; len(q) != 0 {
			t.Errorf("manual %v: still listed: %+v", manual, q)
		}
	}
}

// REQ-O38: a slow isolated subscriber delays neither the dispatcher nor publishers.
func TestREQ_O38_SlowIsolatedSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, eventbus.Options{})
		start := time.Now()
		var fast, slow []time.Duration
		on(t, b, "Fast", func(tick, time.Time) { fast = append(fast, time.Since(start)) })
		subscribe(t, b, "Slow", func(s *eventbus.Subscription) {
			s.Isolated(20, eventbus.Drop)
			eventbus.On(s, func(tick, time.Time) {
				time.Sleep(time.Second)
				slow = append(slow, time.Since(start))
			})
		})
		for i := range 100 {
			eventbus.TopicOf[tick](b).Publish(tick{i})
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("publishing took %v", d)
		}
		time.Sleep(500 * time.Millisecond)
		q := b.Stats().Isolated[0]
		if q.Subscriber != "Slow" || q.Waiting.EventLimit != 20 || q.Waiting.Events+int(q.Dropped) < 99 || q.Dropped < 79 {
			t.Errorf("%+v", q)
		}
		flush(t, b)
		if len(fast) != 100 || fast[99] > 2*time.Millisecond {
			t.Errorf("the fast one got %d of 100, the last after %v", len(fast), fast[len(fast)-1])
		}
		if n := 100 - int(b.Stats().Isolated[0].Dropped); len(slow) != n || n < 20 {
			t.Errorf("the slow one got %d, want %d", len(slow), n)
		}
		if b.Stats().Dropped != 0 {
			t.Error("losses of one subscriber count as losses of the bus")
		}
	})
}

func TestOverflowWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, eventbus.Options{})
		var got []int
		subscribe(t, b, "Recorder", func(s *eventbus.Subscription) {
			s.Isolated(4, eventbus.Wait(10*time.Second))
			eventbus.On(s, func(e call, _ time.Time) {
				time.Sleep(time.Second)
				got = append(got, e.N)
			})
		})
		topic := eventbus.TopicOf[call](b)
		start := time.Now()
		for i := range 20 {
			topic.Publish(call{i})
		}
		if d := time.Since(start); d < 14*time.Second || d > 16*time.Second {
			t.Errorf("20 publishes at one per second took %v, want the time of 15", d)
		}
		flush(t, b)
		if len(got) != 20 || !slices.IsSorted(got) {
			t.Errorf("delivered %v", got)
		}
	})
}

func TestOverflowWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := eventbus.New(eventbus.Options{})
		leave := make(chan struct{})
		s := subscribe(t, b, "Recorder", func(s *eventbus.Subscription) {
			s.Isolated(2, eventbus.Wait(3*time.Second))
			eventbus.On(s, func(call, time.Time) { <-leave })
		})
		topic := eventbus.TopicOf[call](b)
		topic.Publish(call{})
		synctest.Wait() // it is being handled
		topic.Publish(call{})
		topic.Publish(call{})
		start := time.Now()
		topic.Publish(call{})
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("waited %v for room, want 3s", d)
		}
		if q := b.Stats().Isolated[0]; q.Dropped != 1 || q.Waiting.Events != 2 {
			t.Errorf("%+v", q)
		}
		// Ending the subscription lets a waiting publisher go.
		var wg sync.WaitGroup
		start = time.Now()
		wg.Go(func() { topic.Publish(call{}) })
		synctest.Wait()
		wg.Go(s.Close)
		synctest.Wait()
		if d := time.Since(start); d != 0 {
			t.Errorf("after %v", d)
		}
		close(leave)
		wg.Wait()
		if got := row(t, b, "test.call").IsolatedDropped; got != 4 {
			t.Errorf("%d dropped, want 4: one in vain, one released, two discarded", got)
		}
		closeBus(t, b)
	})
}

// On a manual bus nobody would make room, so nobody waits.
func TestOverflowWaitManual(t *testing.T) {
	b := newBus(t, eventbus.Options{Manual: true})
	n := 0
	subscribe(t, b, "Recorder", func(s *eventbus.Subscription) {
		s.Isolated(2, eventbus.Wait(time.Hour))
		eventbus.On(s, func(call, time.Time) { n++ })
	})
	for range 3 {
		eventbus.TopicOf[call](b).Publish(call{})
	}
	b.Drain(time.Now())
	if q := b.Stats().Isolated[0]; n != 2 || q.Dropped != 1 {
		t.Errorf("%d delivered, %+v", n, q)
	}
}

func TestSubscribeRefuses(t *testing.T) {
	b := newBus(t, eventbus.Options{})
	var none *pointerSubscriber
	for _, c := range []struct {
		name string
		s    eventbus.Subscriber
		want []string
	}{
		{"nil", nil, []string{"nil subscriber"}},
		{"nil pointer", none, []string{"nil subscriber"}},
		{"no name", subscriber{"", func(*eventbus.Subscription) {}}, []string{"without a name"}},
		{"panic", subscriber{"S", func(*eventbus.Subscription) { panic("no") }}, []string{"subscribe S: panic: no"}},
		// REQ-O38: only types with EventIsolated may make their publisher wait.
		{"wait", subscriber{"S", func(s *eventbus.Subscription) {
			eventbus.On(s, func(call, time.Time) {})
			eventbus.On(s, func(tick, time.Time) {})
			s.Isolated(10, eventbus.Wait(time.Second))
		}}, []string{"test.tick", "EventIsolated"}},
		{"isolated only", subscriber{"S", func(s *eventbus.Subscription) {
			eventbus.On(s, func(call, time.Time) {})
		}}, []string{"test.call", "isolated subscriptions only"}},
		{"several", subscriber{"S", func(s *eventbus.Subscription) {
			eventbus.On[tick](s, nil)
			s.AfterBatch(nil)
			s.Every(0, func(time.Time) {})
			s.Every(time.Second, nil)
		}}, []string{"nil handler for test.tick", "AfterBatch", "every 0s", "every 1s"}},
	} {
		sub, err := b.Subscribe(c.s)
		if err == nil || sub != nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not speak of %q", c.name, err, want)
			}
		}
	}
	if eventbus.TopicOf[tick](b).Active() || eventbus.TopicOf[call](b).Active() {
		t.Error("a refused subscription listens")
	}
}

type pointerSubscriber struct{}

func (*pointerSubscriber) Name() string                       { return "P" }
func (*pointerSubscriber) Subscribe(s *eventbus.Subscription) {}

func TestLateRegistrationIsLogged(t *testing.T) {
	log := &journal{}
	b := newBus(t, eventbus.Options{Manual: true, Logger: slog.New(log)})
	s := subscribe(t, b, "S", func(*eventbus.Subscription) {})
	n := 0
	eventbus.On(s, func(tick, time.Time) { n++ })
	s.AfterBatch(func() { n++ })
	s.Every(1, func(time.Time) { n++ })
	s.Isolated(1, eventbus.Drop)
	eventbus.TopicOf[tick](b).Publish(tick{})
	b.Drain(time.Now())
	if lines := log.lines(); n != 0 || len(lines) != 4 || lines[0].attrs["subscriber"] != "S" {
		t.Errorf("%d calls, log %+v", n, lines)
	}
	if s.Name() != "S" {
		t.Errorf("name %q", s.Name())
	}
}

func TestNilBus(t *testing.T) {
	var b *eventbus.Bus
	s, err := b.Subscribe(subscriber{"S", func(*eventbus.Subscription) { t.Error("called") }})
	if err != nil || s.Name() != "" {
		t.Errorf("subscribe: %q, %v", s.Name(), err)
	}
	s.Close()
	if d := cmp.Diff(eventbus.Stats{}, b.Stats()); d != "" {
		t.Errorf("stats: %s", d)
	}
}

// A type whose methods cannot stand the zero value still has a topic.
func TestAwkwardTypes(t *testing.T) {
	b := newBus(t, eventbus.Options{Manual: true})
	n := 0
	subscribe(t, b, "S", func(s *eventbus.Subscription) {
		eventbus.On(s, func(*keyed, time.Time) { n++ })
		eventbus.On(s, func(eventbus.Event, time.Time) { n++ })
	})
	eventbus.TopicOf[*keyed](b).Publish(&keyed{Keys: make([]int, 3)})
	if keys := b.Stats().Bulk.Keys; keys != 3 {
		t.Errorf("%d keys wait, want 3", keys)
	}
	eventbus.TopicOf[eventbus.Event](b).Publish(tick{})
	eventbus.TopicOf[*keyed](b).Publish(nil) // its EventKeys panics
	b.Drain(time.Now())
	if n != 3 {
		t.Errorf("%d of 3 delivered", n)
	}
	want := []string{"*eventbus_test.keyed", "eventbus.Event"}
	var names []string
	for _, r := range b.Stats().Types {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	if names[1] != want[1] {
		t.Errorf("names %v", names)
	}
}

// A handler may publish, on the shared queue and to isolated ones.
func TestHandlersPublish(t *testing.T) {
	for _, manual := range []bool{false, true} {
		b := newBus(t, eventbus.Options{Manual: manual})
		var got []int
		alarms := eventbus.TopicOf[alarm](b)
		on(t, b, "A", func(e tick, _ time.Time) { alarms.Publish(alarm(e)) })
		on(t, b, "B", func(e alarm, _ time.Time) { got = append(got, e.N) })
		eventbus.TopicOf[tick](b).Publish(tick{7})
		if flush(t, b); !manual {
			flush(t, b) // the second one covers what the first made handlers publish
		}
		if !slices.Equal(got, []int{7}) {
			t.Errorf("manual %v: got %v", manual, got)
		}
	}
}
