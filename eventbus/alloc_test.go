package eventbus_test

import (
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/lmcache-go/lmcache/eventbus"
)

// REQ-O36, REQ-O37: publishing does not allocate: not while nobody listens, not
// once the queues have their size, not when an event is lost, not for large events.
func TestREQ_O37_NoAllocations(t *testing.T) {
	keys := make([]int, 16)
	now := time.Now()
	for _, c := range []struct {
		name string
		o    eventbus.Options
		sub  func(*eventbus.Subscription) // nil: nobody
	}{
		{"nobody", eventbus.Options{}, nil},
		{"disabled", eventbus.Options{Disabled: true}, listen},
		{"shared", eventbus.Options{Manual: true}, listen},
		{"full", eventbus.Options{Manual: true, Queue: 1}, listen},
		{"isolated", eventbus.Options{Manual: true}, func(s *eventbus.Subscription) {
			s.Isolated(0, eventbus.Drop)
			listen(s)
		}},
	} {
		b := newBus(t, c.o)
		if c.sub != nil {
			subscribe(t, b, "S", c.sub)
		}
		ticks, keyedTopic, larges := eventbus.TopicOf[tick](b), eventbus.TopicOf[keyed](b), eventbus.TopicOf[large](b)
		publish := func() {
			for range 10 {
				ticks.Publish(tick{1})
				keyedTopic.PublishAt(keyed{keys, 2}, now)
				if larges.Active() {
					larges.Publish(large{Keys: keys})
				}
			}
		}
		for range 2 { // the two buffers of a queue
			for range 30 {
				publish()
			}
			b.Drain(now)
		}
		if n := testing.AllocsPerRun(20, publish); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

// A live bus handles a batch without allocating either.
func TestREQ_O37_NoAllocationsWhenHandled(t *testing.T) {
	b := newBus(t, eventbus.Options{})
	done := make(chan struct{})
	subscribe(t, b, "S", func(s *eventbus.Subscription) {
		listen(s)
		eventbus.On(s, func(barrier, time.Time) { done <- struct{}{} })
		s.AfterBatch(func() {})
	})
	ticks, barriers := eventbus.TopicOf[tick](b), eventbus.TopicOf[barrier](b)
	round := func() {
		for range 50 {
			ticks.Publish(tick{1})
		}
		barriers.Publish(barrier{})
		<-done
	}
	for range 10 {
		round()
	}
	if n := testing.AllocsPerRun(50, round); n >= 1 {
		t.Errorf("%v allocations per batch", n)
	}
}

// What was delivered, lost or discarded is not kept alive by the buffers.
func TestDeliveredEventsAreForgotten(t *testing.T) {
	b := newBus(t, eventbus.Options{Manual: true, Queue: 3})
	listenTo := func(s *eventbus.Subscription) { eventbus.On(s, func(pointing, time.Time) {}) }
	subscribe(t, b, "Shared", listenTo)
	s := subscribe(t, b, "Isolated", func(s *eventbus.Subscription) {
		s.Isolated(10, eventbus.Drop)
		listenTo(s)
	})
	topic := eventbus.TopicOf[pointing](b)
	var refs []weak.Pointer[[64]int]
	for i := range 6 {
		p := new([64]int)
		refs = append(refs, weak.Make(p))
		if topic.Publish(pointing{p}); i == 3 {
			b.Drain(time.Now())
		}
	}
	s.Close()
	b.Drain(time.Now())
	runtime.GC()
	for i, r := range refs {
		if r.Value() != nil {
			t.Errorf("event %d is still referred to", i)
		}
	}
	runtime.KeepAlive(b)
}

type pointing struct{ p *[64]int }

func (pointing) EventName() string { return "test.pointing" }

func listen(s *eventbus.Subscription) {
	eventbus.On(s, func(tick, time.Time) {})
	eventbus.On(s, func(keyed, time.Time) {})
	eventbus.On(s, func(large, time.Time) {})
}

type large struct {
	Keys []int
	Rest [40]int64
}

func (large) EventName() string { return "test.large" }
func (e large) EventKeys() int  { return len(e.Keys) }
