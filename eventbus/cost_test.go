package eventbus_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
)

// What callbacks take is known by subscriber: exactly for hooks and while batches
// are small, and by one event in 512 of a large batch, each of which stands for
// those beside it.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, eventbus.Options{})
		on(t, b, "A", func(tick, time.Time) { time.Sleep(time.Millisecond) })
		subscribe(t, b, "B", func(s *eventbus.Subscription) {
			eventbus.On(s, func(tick, time.Time) { time.Sleep(3 * time.Millisecond) })
			s.AfterBatch(func() { time.Sleep(time.Second) })
		})
		subscribe(t, b, "Aside", func(s *eventbus.Subscription) {
			s.Isolated(0, eventbus.Drop)
			eventbus.On(s, func(tick, time.Time) { time.Sleep(5 * time.Millisecond) })
		})
		on(t, b, "Idle", func(alarm, time.Time) {})
		topic := eventbus.TopicOf[tick](b)
		for range 10 {
			topic.Publish(tick{})
			flush(t, b)
		}
		want := map[string]time.Duration{
			"A": 10 * time.Millisecond, "B": 10*time.Second + 30*time.Millisecond, "Aside": 50 * time.Millisecond, "Idle": 0,
		}
		if d := cmp.Diff(want, b.Stats().Busy); d != "" {
			t.Errorf("one by one (-want +got):\n%s", d)
		}

		open := block(t, b)
		for range 2000 {
			topic.Publish(tick{})
		}
		open()
		flush(t, b)
		got := b.Stats().Busy
		want["A"] += 2 * time.Second
		want["Aside"] += 10 * time.Second
		for _, name := range []string{"A", "Aside"} {
			if got[name] != want[name] {
				t.Errorf("%s took %v, want %v", name, got[name], want[name])
			}
		}
	})
}

// A slow event that happens to be timed counts for what it took, and not for the
// hundreds that it stands for.
func TestBusyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, eventbus.Options{Manual: true})
		slow := 0
		on(t, b, "A", func(e tick, _ time.Time) {
			if e.N == slow {
				time.Sleep(10 * time.Second)
			}
		})
		topic := eventbus.TopicOf[tick](b)
		for slow = range 512 {
			for i := range 512 {
				topic.Publish(tick{i})
			}
			before := b.Stats().Busy["A"]
			b.Drain(time.Now())
			if d := b.Stats().Busy["A"] - before; d != 0 && d != 10*time.Second {
				t.Fatalf("a batch of 10 s is said to have taken %v", d)
			}
		}
		if b.Stats().Busy["A"] == 0 {
			t.Error("none of 512 slow events was timed")
		}
	})
}

// A name keeps its total when its subscription ends and another one begins.
func TestBusyNeverGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, eventbus.Options{})
		for i := range 3 {
			s := on(t, b, "A", func(tick, time.Time) { time.Sleep(time.Second) })
			eventbus.TopicOf[tick](b).Publish(tick{})
			flush(t, b)
			s.Close()
			if got, want := b.Stats().Busy["A"], time.Duration(i+1)*time.Second; got != want {
				t.Errorf("%v after %d subscriptions, want %v", got, i+1, want)
			}
		}
	})
}

// A consumer is stalled while it has begun something and does not get on, and at
// no other time.
func TestStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, eventbus.Options{})
		check := func(when string, want, wantAside time.Duration) {
			t.Helper()
			s := b.Stats()
			if s.Stalled != want {
				t.Errorf("%s: the dispatcher is stalled for %v, want %v", when, s.Stalled, want)
			}
			for _, i := range s.Isolated {
				if i.Stalled != wantAside {
					t.Errorf("%s: %s is stalled for %v, want %v", when, i.Subscriber, i.Stalled, wantAside)
				}
			}
		}
		check("unused", 0, 0)
		pass := make(chan struct{})
		on(t, b, "A", func(tick, time.Time) { <-pass })
		subscribe(t, b, "Aside", func(s *eventbus.Subscription) {
			s.Isolated(0, eventbus.Drop)
			eventbus.On(s, func(alarm, time.Time) { <-pass })
		})
		subscribe(t, b, "Hook", func(s *eventbus.Subscription) {
			eventbus.On(s, func(keyed, time.Time) {})
			s.AfterBatch(func() { <-pass })
		})
		time.Sleep(time.Hour)
		check("nothing to do", 0, 0)

		eventbus.TopicOf[tick](b).Publish(tick{})
		time.Sleep(time.Minute)
		check("the first event blocks", time.Minute, 0)
		eventbus.TopicOf[alarm](b).Publish(alarm{})
		time.Sleep(time.Second)
		check("an isolated one does too", 61*time.Second, time.Second)
		pass <- struct{}{}
		pass <- struct{}{} // one of them is the event, the other one may be the hook
		pass <- struct{}{}
		flush(t, b)
		time.Sleep(time.Hour)
		check("at rest again", 0, 0)

		const n = 200 // at most every 39th event shows in a queue of 10,000
		for range n {
			eventbus.TopicOf[tick](b).Publish(tick{})
		}
		check("begins", 0, 0)
		for range n {
			pass <- struct{}{}
			time.Sleep(200 * time.Millisecond)
			if s := b.Stats().Stalled; s >= 10*time.Second {
				t.Fatalf("stalled for %v while it gets on", s)
			}
		}
		time.Sleep(time.Minute) // in the hook
		if s := b.Stats().Stalled; s < time.Minute || s > 70*time.Second {
			t.Errorf("the hook blocks: stalled for %v, want a minute", s)
		}
		close(pass) // a batch that begins while events come makes two, and a hook more
		flush(t, b)
		check("done", 0, 0)
	})
}
