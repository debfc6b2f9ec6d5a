package eventbus_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
)

// REQ-O34: event times are the publisher's, the lag is theirs against now.
func TestREQ_O34_TimesAndLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, eventbus.Options{})
		var got []time.Time
		on(t, b, "Ticks", func(_ tick, at time.Time) { got = append(got, at) })
		if lag := b.Stats().Lag; lag != 0 {
			t.Errorf("lag of an empty bus: %v", lag)
		}
		open := block(t, b)
		if lag := b.Stats().Lag; lag != 0 {
			t.Errorf("an event being handled does not wait, but the lag is %v", lag)
		}
		start, device := time.Now(), time.Now().Add(-time.Hour)
		topic := eventbus.TopicOf[tick](b)
		topic.Publish(tick{})
		topic.PublishAt(tick{}, device)
		time.Sleep(2 * time.Second)
		topic.Publish(tick{})
		if lag := b.Stats().Lag; lag != 2*time.Second {
			t.Errorf("lag %v, want 2s", lag)
		}
		open()
		flush(t, b)
		want := []time.Time{start, device, start.Add(2 * time.Second)}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("times (-want +got):\n%s", d)
		}
		if lag := b.Stats().Lag; lag != 0 {
			t.Errorf("lag once quiet: %v", lag)
		}

		open = blockAgain(t, b)
		topic.PublishAt(tick{}, time.Now().Add(time.Minute))
		if lag := b.Stats().Lag; lag != 0 {
			t.Errorf("lag of an event from the future: %v", lag)
		}
		open()
	})
}

// blockAgain is block for a second time on one bus.
func blockAgain(t testing.TB, b *eventbus.Bus) func() {
	t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	on(t, b, "Gate2", func(barrier2, time.Time) {
		close(entered)
		<-leave
	})
	eventbus.TopicOf[barrier2](b).Publish(barrier2{})
	<-entered
	return func() { close(leave) }
}

type barrier2 struct{}

func (barrier2) EventName() string { return "test.barrier2" }

// Within a batch the lag is that of the first event whose handling has not begun.
func TestLagWithinABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, eventbus.Options{Queue: 100})
		step := make(chan struct{})
		on(t, b, "Ticks", func(tick, time.Time) { <-step })
		open := block(t, b)
		start := time.Now()
		for i := range 3 {
			eventbus.TopicOf[tick](b).PublishAt(tick{}, start.Add(time.Duration(-10*i)*time.Second))
		}
		open()
		time.Sleep(time.Millisecond) // the dispatcher's nap
		for _, want := range []time.Duration{10 * time.Second, 20 * time.Second, 0} {
			synctest.Wait()
			if lag := b.Stats().Lag; want > 0 && lag != want+time.Millisecond || want == 0 && lag != 0 {
				t.Errorf("lag %v, want %v", lag, want)
			}
			step <- struct{}{}
		}
	})
}

func TestREQ_O35_CloseDeliversThenClosesInOrder(t *testing.T) {
	for _, manual := range []bool{false, true} {
		log := &journal{}
		b := eventbus.New(eventbus.Options{Manual: manual, Logger: slog.New(log)})
		var mu sync.Mutex
		var steps []string
		note := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			steps = append(steps, s)
		}
		delivered := map[string]int{}
		for i, name := range []string{"A", "B", "C", "D"} {
			c := closer{subscriber{name, func(s *eventbus.Subscription) {
				if i%2 == 1 {
					s.Isolated(2000, eventbus.Drop)
				}
				eventbus.On(s, func(tick, time.Time) {
					mu.Lock()
					defer mu.Unlock()
					delivered[name]++
				})
				s.AfterBatch(func() {
					if mu.Lock(); !slices.Contains(steps, "batch "+name) {
						steps = append(steps, "batch "+name)
					}
					mu.Unlock()
				})
			}}, func() error {
				note("close " + name)
				switch name {
				case "B":
					return errors.New("disk full")
				case "C":
					panic("broken")
				}
				return nil
			}}
			if _, err := b.Subscribe(c); err != nil {
				t.Fatal(err)
			}
		}
		gone, err := b.Subscribe(closer{subscriber{"Gone", func(*eventbus.Subscription) {}}, func() error { note("close Gone"); return nil }})
		if err != nil {
			t.Fatal(err)
		}
		gone.Close() // taken back: not the bus's to close

		topic := eventbus.TopicOf[tick](b)
		for i := range 1000 {
			topic.Publish(tick{i})
		}
		closeBus(t, b)
		for name, n := range delivered {
			if n != 1000 {
				t.Errorf("manual %v: %s got %d of 1000", manual, name, n)
			}
		}
		want := []string{"close A", "close B", "close C", "close D"}
		if got := steps[max(len(steps)-4, 0):]; !slices.Equal(got, want) || len(steps) != 8 {
			t.Errorf("manual %v: %v", manual, steps)
		}
		wantLog := []string{"EventBus: error shutting down B", "EventBus: error shutting down C"}
		if got := log.texts(); !slices.Equal(got, wantLog) {
			t.Errorf("manual %v: log %q, want %q", manual, got, wantLog)
		}

		// Once more, from several goroutines.
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { closeBus(t, b) })
		}
		wg.Wait()
		if len(steps) != 8 {
			t.Errorf("manual %v: closed again: %v", manual, steps)
		}

		topic.Publish(tick{})
		topic.PublishAt(tick{}, time.Now())
		flush(t, b)
		b.Drain(time.Now())
		if r := row(t, b, "test.tick"); r.Published != 1002 || r.Delivered != 1000 || r.Dropped != 2 || r.IsolatedDropped != 4 {
			t.Errorf("manual %v: publish after close: %+v", manual, r)
		}
		if d := b.Stats().Dropped; d != 2 || delivered["A"] != 1000 {
			t.Errorf("manual %v: %d dropped in all, %d delivered", manual, d, delivered["A"])
		}
		if _, err := b.Subscribe(subscriber{"Late", func(*eventbus.Subscription) {}}); !errors.Is(err, eventbus.ErrClosed) {
			t.Errorf("manual %v: subscribing to a closed bus: %v", manual, err)
		}
	}
}

// The events of a server's own teardown, published by producers that stop before
// the bus is closed, are delivered; those of concurrent ones are delivered or
// counted.
func TestREQ_O35_TeardownEvents(t *testing.T) {
	b := eventbus.New(eventbus.Options{Queue: 100_000})
	seen := 0
	on(t, b, "Ends", func(ended, time.Time) { seen++ })
	topic := eventbus.TopicOf[ended](b)
	var producers sync.WaitGroup
	for range 4 {
		producers.Go(func() {
			for i := range 500 {
				topic.Publish(ended{i})
			}
		})
	}
	producers.Wait()
	closeBus(t, b)
	if seen != 2000 {
		t.Errorf("%d of 2000 delivered", seen)
	}
}

// A Close whose context ends leaves counts that add up, and can be waited for later.
func TestCloseGivesUp(t *testing.T) {
	for _, isolated := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := eventbus.New(eventbus.Options{})
			leave := make(chan struct{})
			closed := false
			if _, err := b.Subscribe(closer{subscriber{"Stuck", func(s *eventbus.Subscription) {
				if isolated {
					s.Isolated(100, eventbus.Drop)
				}
				eventbus.On(s, func(tick, time.Time) { <-leave })
			}}, func() error { closed = true; return nil }}); err != nil {
				t.Fatal(err)
			}
			for range 10 {
				eventbus.TopicOf[tick](b).Publish(tick{})
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := b.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("close: %v", err)
			}
			if closed {
				t.Error("closed while its handler runs")
			}
			close(leave)
			closeBus(t, b)
			if !closed {
				t.Error("the second Close did not wait for the subscriber")
			}
			r := row(t, b, "test.tick")
			if isolated {
				if r.IsolatedDropped != 9 {
					t.Errorf("%+v", r)
				}
				r = b.Stats().Isolated[0].Types[0]
			}
			if r.Published != 10 || r.Delivered != 1 || r.Dropped != 9 {
				t.Errorf("%+v", r)
			}
			if s := b.Stats(); s.Bulk.Events != 0 || (!isolated && s.Dropped != 9) {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestManualCloseGivesUp(t *testing.T) {
	b := eventbus.New(eventbus.Options{Manual: true})
	n := 0
	on(t, b, "Ticks", func(tick, time.Time) { n++ })
	eventbus.TopicOf[tick](b).Publish(tick{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("close: %v", err)
	}
	if r := row(t, b, "test.tick"); n != 0 || r.Dropped != 1 || r.Published != 1 {
		t.Errorf("%d delivered, %+v", n, r)
	}
	closeBus(t, b)
}

func TestFlushGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, eventbus.Options{})
		on(t, b, "Ticks", func(tick, time.Time) {})
		open := block(t, b)
		eventbus.TopicOf[tick](b).Publish(tick{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("flush: %v", err)
		}
		open()
		flush(t, b)
	})
}

// REQ-O36: what nobody uses costs no goroutine.
func TestREQ_O36_NoGoroutineUnlessUsed(t *testing.T) {
	noConsumers(t) // those of earlier tests are gone
	disabled := eventbus.New(eventbus.Options{Disabled: true})
	manual := eventbus.New(eventbus.Options{Manual: true})
	unused := eventbus.New(eventbus.Options{})
	calls, closed := 0, 0
	for _, b := range []*eventbus.Bus{disabled, manual} {
		for _, isolated := range []bool{false, true} {
			_, err := b.Subscribe(closer{subscriber{"S", func(s *eventbus.Subscription) {
				if isolated {
					s.Isolated(10, eventbus.Drop)
				}
				eventbus.On(s, func(tick, time.Time) { calls++ })
				s.Every(time.Nanosecond, func(time.Time) { calls++ })
			}}, func() error { closed++; return nil }})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, b := range []*eventbus.Bus{disabled, unused, nil} {
		topic := eventbus.TopicOf[tick](b)
		if topic.Active() {
			t.Error("active without a listener")
		}
		topic.Publish(tick{})
		topic.PublishAt(tick{}, time.Now())
		b.Drain(time.Now())
		flush(t, b)
	}
	if n := consumers(t); n != 0 {
		t.Errorf("%d goroutines", n)
	}
	if calls != 0 {
		t.Errorf("%d calls of handlers on a disabled bus", calls)
	}
	for _, b := range []*eventbus.Bus{disabled, manual, unused, nil} {
		closeBus(t, b)
	}
	if closed != 4 {
		t.Errorf("%d of 4 subscribers closed", closed)
	}
	live := eventbus.New(eventbus.Options{})
	on(t, live, "S", func(tick, time.Time) {})
	if n := consumers(t); n != 1 {
		t.Errorf("the first subscription makes %d goroutines, want the dispatcher", n)
	}
	closeBus(t, live)
	noConsumers(t)
}

// noConsumers waits for goroutines that have signalled their end to be gone.
func noConsumers(t *testing.T) {
	t.Helper()
	for range 10_000 {
		if consumers(t) == 0 {
			return
		}
		runtime.Gosched()
	}
	t.Errorf("%d goroutines after Close", consumers(t))
}

// The dispatcher handles the first event after a pause at once, lets the next ones
// gather for a millisecond, and does nothing without events.
func TestIdleAndNap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, eventbus.Options{})
		var batches atomic.Int64
		subscribe(t, b, "S", func(s *eventbus.Subscription) {
			eventbus.On(s, func(tick, time.Time) {})
			s.AfterBatch(func() { batches.Add(1) })
		})
		time.Sleep(time.Hour)
		if n := batches.Load(); n != 0 {
			t.Errorf("%d batches without events", n)
		}
		eventbus.TopicOf[tick](b).Publish(tick{})
		synctest.Wait() // an idle dispatcher is woken at once
		if n := batches.Load(); n != 1 {
			t.Errorf("%d batches of one event", n)
		}
		for range 5 {
			eventbus.TopicOf[tick](b).Publish(tick{})
		}
		time.Sleep(2 * time.Millisecond) // now it gathers
		if n := batches.Load(); n != 2 {
			t.Errorf("%d batches, want the five events in one", n-1)
		}
		time.Sleep(time.Hour)
		if n := batches.Load(); n != 2 {
			t.Errorf("%d batches without events", n-2)
		}
	})
}

// A queue more than a quarter full, in events or in keys, ends the dispatcher's nap.
func TestFillingQueueEndsNap(t *testing.T) {
	for name, publish := range map[string]func(b *eventbus.Bus, n int){
		"events": func(b *eventbus.Bus, n int) {
			for range n {
				eventbus.TopicOf[tick](b).Publish(tick{})
			}
		},
		"keys": func(b *eventbus.Bus, n int) {
			eventbus.TopicOf[keyed](b).Publish(keyed{Keys: make([]int, n*100)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBus(t, eventbus.Options{Queue: 100, Keys: 10_000})
				on(t, b, "Ticks", func(tick, time.Time) {})
				on(t, b, "Keyed", func(keyed, time.Time) {})
				eventbus.TopicOf[tick](b).Publish(tick{})
				synctest.Wait() // handled; the nap begins
				publish(b, 25)
				if synctest.Wait(); b.Stats().Bulk.Events == 0 {
					t.Error("a quarter does not end the nap, but it did")
				}
				publish(b, 1)
				if synctest.Wait(); b.Stats().Bulk.Events != 0 {
					t.Error("more than a quarter waits")
				}
			})
		})
	}
}

// REQ-O38: a steady publisher keeps neither Flush nor Close waiting.
func TestREQ_O38_SteadyPublisher(t *testing.T) {
	for _, manual := range []bool{false, true} {
		b := eventbus.New(eventbus.Options{Manual: manual})
		on(t, b, "Ticks", func(tick, time.Time) {})
		subscribe(t, b, "Isolated", func(s *eventbus.Subscription) {
			s.Isolated(100, eventbus.Drop)
			eventbus.On(s, func(tick, time.Time) {})
		})
		stop, running := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			topic := eventbus.TopicOf[tick](b)
			topic.Publish(tick{})
			close(running)
			for {
				select {
				case <-stop:
					return
				default:
					topic.Publish(tick{})
				}
			}
		})
		<-running
		for range 20 {
			flush(t, b)
		}
		closeBus(t, b)
		close(stop)
		wg.Wait()
		if r := row(t, b, "test.tick"); r.Published != r.Delivered+r.Dropped {
			t.Errorf("%+v", r)
		}
	}
}
