package eventbustest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
)

// RunSubscriber runs the contract of a subscriber: it has a constant name, no
// event that feed publishes makes it panic, two instances on two buses share
// nothing that is not synchronised, it works on a live, a manual and a disabled
// bus, its subscription can be closed in the middle of traffic, and it closes
// without an error. NewSub returns a fresh subscriber; feed publishes events of all
// types that it handles, in sequences that make sense and in some that do not:
// zero values, ends without starts, unknown names. Feed is called several times
// per bus, and by several goroutines at once.
func RunSubscriber(t *testing.T, newSub func(t testing.TB) eventbus.Subscriber, feed func(*eventbus.Bus)) {
	t.Helper()
	t.Run("Name", func(t *testing.T) {
		s := newSub(t)
		name := s.Name()
		subscribe(t, NewBus(t), s)
		if name == "" || s.Name() != name {
			t.Errorf("name %q before, %q after subscribing", name, s.Name())
		}
	})
	t.Run("Live", func(t *testing.T) {
		b := NewBus(t)
		subscribe(t, b, newSub(t))
		feed(b)
		flush(t, b)
		feed(b)
		flush(t, b)
		quiet(t, b)
	})
	t.Run("Manual", func(t *testing.T) {
		b := NewManualBus(t)
		subscribe(t, b, newSub(t))
		now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		for range 3 {
			feed(b)
			b.Drain(now)
			now = now.Add(time.Hour) // everything periodic is due
		}
		quiet(t, b)
	})
	t.Run("TwoBuses", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 2 {
			b := NewBus(t)
			subscribe(t, b, newSub(t))
			for range 2 {
				wg.Go(func() { feed(b) })
			}
		}
		wg.Wait()
	})
	t.Run("CloseSubscription", func(t *testing.T) {
		b := NewBus(t)
		owner := newSub(t)
		s := subscribe(t, b, owner)
		var wg sync.WaitGroup
		wg.Go(func() { feed(b) })
		s.Close()
		wg.Wait()
		feed(b)
		s.Close()
		if c, ok := owner.(interface{ Close() error }); ok {
			if err := c.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	})
	t.Run("Disabled", func(t *testing.T) {
		b := eventbus.New(eventbus.Options{Disabled: true})
		subscribe(t, b, newSub(t))
		feed(b)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

func subscribe(t testing.TB, b *eventbus.Bus, s eventbus.Subscriber) *eventbus.Subscription {
	t.Helper()
	sub, err := b.Subscribe(s)
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	return sub
}

// quiet checks that everything was delivered.
func quiet(t testing.TB, b *eventbus.Bus) {
	t.Helper()
	s := b.Stats()
	if s.Bulk.Events != 0 || s.Reserved.Events != 0 || s.Dropped != 0 {
		t.Errorf("bulk %d and reserved %d events wait, %d were dropped", s.Bulk.Events, s.Reserved.Events, s.Dropped)
	}
	for _, i := range s.Isolated {
		if i.Waiting.Events != 0 || i.Dropped != 0 {
			t.Errorf("%s: %d events wait, %d were dropped", i.Subscriber, i.Waiting.Events, i.Dropped)
		}
	}
}
