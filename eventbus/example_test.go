package eventbus_test

import (
	"context"
	"fmt"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
)

// KeysEvicted is an event: a plain struct of the package that publishes it.
type KeysEvicted struct{ Keys []string }

// EventName is the wire name.
func (KeysEvicted) EventName() string { return "example.keys.evicted" }

// EventReserved says that its loss would hurt.
func (KeysEvicted) EventReserved() bool { return true }

// EventKeys is the number of keys carried.
func (e KeysEvicted) EventKeys() int { return len(e.Keys) }

// Evictions counts evicted keys.
type Evictions struct{ keys, total int }

// Name names the subscriber in metrics and logs.
func (*Evictions) Name() string { return "Evictions" }

// Subscribe registers what the bus shall call. All of it runs on one goroutine, so
// Evictions needs no lock.
func (s *Evictions) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e KeysEvicted, _ time.Time) { s.keys += len(e.Keys) })
	sub.AfterBatch(func() { // once per batch, not per event
		s.total += s.keys
		s.keys = 0
	})
}

func Example() {
	ctx := context.Background()
	bus := eventbus.New(eventbus.Options{})
	counter := &Evictions{}
	if _, err := bus.Subscribe(counter); err != nil {
		fmt.Println(err)
		return
	}

	// The publisher resolves its topic once.
	evicted := eventbus.TopicOf[KeysEvicted](bus)
	evicted.Publish(KeysEvicted{Keys: []string{"a", "b"}})
	if evicted.Active() { // worth building only if somebody listens
		evicted.Publish(KeysEvicted{Keys: []string{"c"}})
	}

	if err := bus.Close(ctx); err != nil { // delivers what waits
		fmt.Println(err)
	}
	fmt.Println(counter.total, "keys evicted")
	// Output: 3 keys evicted
}

// A manual bus has no goroutines. Its owner says when handlers run, and what time
// it is for those that are due periodically.
func ExampleBus_Drain() {
	bus := eventbus.New(eventbus.Options{Manual: true})
	_, err := bus.Subscribe(subscriber{"Printer", func(s *eventbus.Subscription) {
		eventbus.On(s, func(e KeysEvicted, at time.Time) { fmt.Println(at.Format(time.TimeOnly), e.Keys) })
		s.Every(time.Minute, func(now time.Time) { fmt.Println(now.Format(time.TimeOnly), "a minute has passed") })
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	evicted := eventbus.TopicOf[KeysEvicted](bus)
	now := time.Date(2000, 1, 1, 12, 0, 0, 0, time.UTC)
	evicted.PublishAt(KeysEvicted{Keys: []string{"a"}}, now)
	bus.Drain(now)
	evicted.PublishAt(KeysEvicted{Keys: []string{"b"}}, now.Add(time.Second))
	bus.Drain(now.Add(time.Minute))
	// Output:
	// 12:00:00 [a]
	// 12:00:01 [b]
	// 12:01:00 a minute has passed
}

// What does I/O or may be slow has a queue and a goroutine of its own, and says
// how much may wait there.
func ExampleSubscription_Isolated() {
	bus := eventbus.New(eventbus.Options{})
	_, err := bus.Subscribe(subscriber{"Writer", func(s *eventbus.Subscription) {
		s.Isolated(1000, eventbus.Drop)
		eventbus.On(s, func(e KeysEvicted, _ time.Time) { fmt.Println("written:", e.Keys) })
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	eventbus.TopicOf[KeysEvicted](bus).Publish(KeysEvicted{Keys: []string{"a"}})
	if err := bus.Close(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: written: [a]
}
