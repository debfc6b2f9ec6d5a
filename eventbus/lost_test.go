package eventbus_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
)

// Every call is either handled or told of as lost, whoever ends the subscription
// while it is published.
func TestOnLostAccountsForAll(t *testing.T) {
	for name, end := range map[string]func(*eventbus.Bus, *eventbus.Subscription){
		"finish": func(_ *eventbus.Bus, s *eventbus.Subscription) { s.Finish() },
		"close the bus": func(b *eventbus.Bus, _ *eventbus.Subscription) {
			if err := b.Close(context.Background()); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			const publishers, each = 4, 2000
			b := newBus(t, eventbus.Options{})
			var mu sync.Mutex
			told, handled, held := 0, 0, make(chan struct{})
			sub := subscribe(t, b, "recorder", func(s *eventbus.Subscription) {
				s.Isolated(16, eventbus.Drop)
				eventbus.OnLost(s, func(call, time.Time) { mu.Lock(); told++; mu.Unlock() })
				eventbus.On(s, func(call, time.Time) { <-held; handled++ })
			})
			topic := eventbus.TopicOf[call](b)
			var wg, begun sync.WaitGroup
			begun.Add(publishers)
			unheard := make([]int, publishers)
			for p := range publishers {
				wg.Go(func() {
					for i := range each {
						if i == each/2 {
							begun.Done()
						}
						if !topic.Active() {
							unheard[p]++
						}
						topic.Publish(call{})
					}
				})
			}
			begun.Wait()
			close(held)
			end(b, sub)
			wg.Wait()
			// Between the look and the publish the topic may have become inactive.
			missing := publishers*each - told - handled
			slices.Sort(unheard)
			sum := 0
			for _, n := range unheard {
				sum += n
			}
			if missing < 0 || missing < sum || missing > sum+publishers {
				t.Errorf("%d calls: %d handled, %d told of, %d published to nobody", publishers*each, handled, told, sum)
			}
			if told == 0 || handled == 0 {
				t.Errorf("%d handled, %d told of: the test needs both", handled, told)
			}
		})
	}
}

// Finish handles what waits, Close does not.
func TestFinishHandlesWhatWaits(t *testing.T) {
	for _, manual := range []bool{false, true} {
		b := newBus(t, eventbus.Options{Manual: manual})
		n, held := 0, make(chan struct{})
		sub := subscribe(t, b, "recorder", func(s *eventbus.Subscription) {
			s.Isolated(100, eventbus.Drop)
			eventbus.On(s, func(call, time.Time) { <-held; n++ })
		})
		topic := eventbus.TopicOf[call](b)
		for range 50 {
			topic.Publish(call{})
		}
		close(held)
		sub.Finish()
		sub.Finish()
		sub.Close()
		topic.Publish(call{})
		if n != 50 || topic.Active() {
			t.Errorf("manual %v: %d of 50 handled, active %v", manual, n, topic.Active())
		}
	}
}

// A function that panics loses nothing of the publisher's.
func TestOnLostMayPanic(t *testing.T) {
	b := newBus(t, eventbus.Options{Manual: true})
	subscribe(t, b, "recorder", func(s *eventbus.Subscription) {
		s.Isolated(1, eventbus.Drop)
		eventbus.OnLost(s, func(call, time.Time) { panic("no") })
		eventbus.On(s, func(call, time.Time) {})
	})
	for range 3 {
		eventbus.TopicOf[call](b).Publish(call{})
	}
}

// Only what goes to isolated subscriptions can be told of.
func TestOnLostRefusals(t *testing.T) {
	b := newBus(t, eventbus.Options{})
	_, err := b.Subscribe(subscriber{name: "x", f: func(s *eventbus.Subscription) {
		s.Isolated(1, eventbus.Drop)
		eventbus.OnLost(s, func(tick, time.Time) {})
		eventbus.OnLost[call](s, nil)
	}})
	const want = "eventbus: subscribe x: test.tick cannot be told of when it is lost: the type has no EventIsolated\nnil function for the loss of test.call"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
