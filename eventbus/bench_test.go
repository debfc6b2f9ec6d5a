package eventbus_test

import (
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
)

type tick struct{ N int }

func (tick) EventName() string { return "test.tick" }

type keyed struct {
	Keys []int
	From int
}

func (keyed) EventName() string { return "test.keyed" }
func (e keyed) EventKeys() int  { return len(e.Keys) }

type funcSub struct {
	name string
	f    func(*eventbus.Subscription)
}

func (s funcSub) Name() string                         { return s.name }
func (s funcSub) Subscribe(sub *eventbus.Subscription) { s.f(sub) }

func BenchmarkPublishNobody(b *testing.B) {
	bus := eventbus.New(eventbus.Options{})
	t := eventbus.TopicOf[tick](bus)
	b.ReportAllocs()
	for b.Loop() {
		t.Publish(tick{1})
	}
}

func BenchmarkPublishActive(b *testing.B) {
	bus := eventbus.New(eventbus.Options{})
	n := 0
	bus.Subscribe(funcSub{"s", func(s *eventbus.Subscription) { eventbus.On(s, func(tick, time.Time) { n++ }) }})
	t := eventbus.TopicOf[tick](bus)
	b.ReportAllocs()
	for b.Loop() {
		t.Publish(tick{1})
	}
	b.ReportMetric(float64(bus.Stats().Dropped)/float64(b.N), "drops/op")
}

func BenchmarkPublishKeyedManual(b *testing.B) {
	bus := eventbus.New(eventbus.Options{Manual: true})
	n := 0
	bus.Subscribe(funcSub{"s", func(s *eventbus.Subscription) { eventbus.On(s, func(keyed, time.Time) { n++ }) }})
	t := eventbus.TopicOf[keyed](bus)
	ks := make([]int, 10)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		t.Publish(keyed{ks, 1})
		if i++; i%1000 == 0 {
			b.StopTimer()
			bus.Drain(time.Time{})
			b.StartTimer()
		}
	}
}

func BenchmarkDispatch(b *testing.B) {
	bus := eventbus.New(eventbus.Options{Manual: true})
	n := 0
	bus.Subscribe(funcSub{"s", func(s *eventbus.Subscription) { eventbus.On(s, func(tick, time.Time) { n++ }) }})
	t := eventbus.TopicOf[tick](bus)
	b.ReportAllocs()
	now := time.Now()
	var spent time.Duration
	const batch = 1000
	for b.Loop() {
		for range batch {
			t.PublishAt(tick{1}, now)
		}
		at := time.Now()
		bus.Drain(now)
		spent += time.Since(at)
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(n), "ns/event")
}

func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		_ = time.Now()
	}
}
func BenchmarkEmpty(b *testing.B) {
	for b.Loop() {
	}
}
func BenchmarkPublishNobodyN(b *testing.B) {
	bus := eventbus.New(eventbus.Options{})
	t := eventbus.TopicOf[tick](bus)
	for range b.N {
		t.Publish(tick{1})
	}
}
func BenchmarkActiveNobody(b *testing.B) {
	bus := eventbus.New(eventbus.Options{})
	t := eventbus.TopicOf[tick](bus)
	for b.Loop() {
		if t.Active() {
			b.Fatal()
		}
	}
}
