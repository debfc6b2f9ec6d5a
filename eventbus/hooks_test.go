package eventbus_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
)

func TestEveryWithoutTraffic(t *testing.T) {
	for _, isolated := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBus(t, eventbus.Options{})
			on(t, b, "Already", func(tick, time.Time) {}) // the dispatcher is idle when Every comes
			synctest.Wait()
			start := time.Now()
			var fast, slow []time.Duration
			s := subscribe(t, b, "S", func(s *eventbus.Subscription) {
				if isolated {
					s.Isolated(10, eventbus.Drop)
				}
				s.Every(3*time.Second, func(now time.Time) { slow = append(slow, now.Sub(start)) })
				s.Every(time.Second, func(now time.Time) { fast = append(fast, now.Sub(start)) })
			})
			time.Sleep(7*time.Second + time.Millisecond)
			s.Close()
			time.Sleep(time.Hour)
			sec := func(n ...int) (out []time.Duration) {
				for _, n := range n {
					out = append(out, time.Duration(n)*time.Second)
				}
				return out
			}
			if d := cmp.Diff(sec(1, 2, 3, 4, 5, 6, 7), fast); d != "" {
				t.Errorf("every second (-want +got):\n%s", d)
			}
			if d := cmp.Diff(sec(3, 6), slow); d != "" {
				t.Errorf("every three seconds (-want +got):\n%s", d)
			}
		})
	}
}

// Every is due between batches, also while there is traffic all the time; calls
// that a slow handler made late are not made up for.
func TestEveryUnderTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, eventbus.Options{})
		var calls atomic.Int64
		subscribe(t, b, "S", func(s *eventbus.Subscription) {
			eventbus.On(s, func(e tick, _ time.Time) { time.Sleep(time.Duration(e.N) * time.Millisecond) })
			s.Every(time.Second, func(time.Time) { calls.Add(1) })
		})
		topic := eventbus.TopicOf[tick](b)
		for range 1005 {
			topic.Publish(tick{})
			time.Sleep(10 * time.Millisecond)
		}
		if n := calls.Load(); n != 10 {
			t.Errorf("%d calls in 10.05 seconds of traffic", n)
		}
		calls.Store(0)
		topic.Publish(tick{5500})
		time.Sleep(5600 * time.Millisecond)
		if n := calls.Load(); n != 1 {
			t.Errorf("%d calls after 5.5 seconds in a handler, want one", n)
		}
		time.Sleep(time.Second)
		if n := calls.Load(); n != 2 {
			t.Errorf("%d calls, want the next one a second later", n)
		}
	})
}

// Drain on a manual bus: everything that waits, isolated queues included, then
// what Every has due at the time given.
func TestREQ_O38_Drain(t *testing.T) {
	b := newBus(t, eventbus.Options{Manual: true})
	var steps []string
	subscribe(t, b, "S", func(s *eventbus.Subscription) {
		eventbus.On(s, func(tick, time.Time) { steps = append(steps, "tick") })
		s.AfterBatch(func() { steps = append(steps, "batch") })
		s.Every(10*time.Second, func(now time.Time) { steps = append(steps, now.Format("every 15:04:05")) })
	})
	subscribe(t, b, "I", func(s *eventbus.Subscription) {
		s.Isolated(10, eventbus.Drop)
		eventbus.On(s, func(call, time.Time) { steps = append(steps, "call") })
		eventbus.On(s, func(tick, time.Time) { steps = append(steps, "own tick") })
		s.Every(time.Minute, func(now time.Time) { steps = append(steps, now.Format("own every 15:04:05")) })
	})
	ticks, calls := eventbus.TopicOf[tick](b), eventbus.TopicOf[call](b)
	virtual := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // far from the machine's
	expect := func(what string, want ...string) {
		t.Helper()
		if !slices.Equal(steps, want) {
			t.Errorf("%s: %v, want %v", what, steps, want)
		}
		steps = nil
	}

	calls.Publish(call{})
	ticks.PublishAt(tick{}, virtual)
	ticks.PublishAt(tick{}, virtual)
	expect("before Drain")
	b.Drain(virtual)
	expect("first Drain", "tick", "tick", "batch", "call", "own tick", "own tick")
	b.Drain(virtual.Add(9 * time.Second))
	expect("nothing due")
	ticks.PublishAt(tick{}, virtual.Add(10*time.Second))
	if lag := b.Stats().Lag; lag != 0 {
		t.Errorf("lag in virtual time: %v", lag)
	}
	b.Drain(virtual.Add(10 * time.Second))
	expect("due", "tick", "batch", "own tick", "every 00:00:10")
	b.Drain(virtual.Add(95 * time.Second))
	expect("late", "every 00:01:35", "own every 00:01:35")
	b.Drain(virtual) // time does not go back
	expect("earlier")
	ticks.PublishAt(tick{}, virtual.Add(90*time.Second))
	if lag := b.Stats().Lag; lag != 5*time.Second {
		t.Errorf("lag in virtual time: %v, want 5s", lag)
	}
	flush(t, b)
	expect("Flush", "tick", "batch", "own tick")
}

func TestManualWarnings(t *testing.T) {
	log := &journal{}
	b := newBus(t, eventbus.Options{Manual: true, Queue: 2, Logger: newLogger(log)})
	on(t, b, "S", func(tick, time.Time) {})
	topic := eventbus.TopicOf[tick](b)
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 5 {
		for range 3 {
			topic.Publish(tick{})
		}
		b.Drain(now)
		now = now.Add(500 * time.Millisecond)
	}
	want := []string{
		"EventBus queue full (max_queue_size=2), 1 event(s) discarded so far",
		"EventBus queue full (max_queue_size=2), 3 event(s) discarded so far",
		"EventBus queue full (max_queue_size=2), 5 event(s) discarded so far",
	}
	if d := cmp.Diff(want, log.texts()); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}
