package runtime

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestLiveTimersAndCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLive()
		start := l.Now()
		fired := make(chan time.Duration, 3)
		l.At(start.Add(time.Hour), func() { fired <- l.Now().Sub(start) })
		stopped := l.At(start.Add(time.Minute), func() { t.Error("stopped timer fired") })
		if !stopped.Stop() || stopped.Stop() {
			t.Error("Stop must report true exactly once")
		}
		if got := <-fired; got != time.Hour {
			t.Errorf("timer fired after %v, want 1h", got)
		}

		results := make(chan Result, 1)
		l.Start(Call{
			Deadline: l.Now().Add(time.Minute),
			Do:       func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		}, func(r Result) { results <- r })
		r := <-results
		if !errors.Is(r.Err, context.DeadlineExceeded) || r.Took != time.Minute {
			t.Errorf("got %+v, want the deadline after 1m", r)
		}

		// Close ends running calls, stops timers, and later calls answer ErrClosed.
		l.At(l.Now().Add(time.Second), func() { t.Error("timer fired after Close") })
		l.Start(Call{Do: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}, func(r Result) { results <- r })
		l.Close()
		l.Close()
		if r := <-results; !errors.Is(r.Err, context.Canceled) {
			t.Errorf("running call ended with %v, want canceled", r.Err)
		}
		l.Start(Call{}, func(r Result) { results <- r })
		if r := <-results; !errors.Is(r.Err, ErrClosed) {
			t.Errorf("call after Close: %v, want ErrClosed", r.Err)
		}
		l.Start(Call{}, func(Result) { time.Sleep(time.Second) })
		before := time.Now()
		if l.Close(); time.Since(before) != time.Second {
			t.Error("a second Close did not wait for the call that was refused")
		}
		l.At(l.Now(), func() { t.Error("timer of a closed runtime fired") })
		time.Sleep(time.Hour)
	})
}

// A wait ends when it is woken, at its time, with its context, or with the runtime.
func TestLiveWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLive()
		woken := make(chan struct{}, 1)
		for _, tt := range []struct {
			name   string
			after  time.Duration // of an hour
			wake   func(context.CancelFunc)
			wanted bool
		}{
			{"woken", time.Minute, func(context.CancelFunc) { woken <- struct{}{} }, true},
			{"canceled", time.Minute, func(cancel context.CancelFunc) { cancel() }, false},
			{"time is over", time.Hour, func(context.CancelFunc) {}, false},
			{"closed", time.Minute, func(context.CancelFunc) { go l.Close() }, false},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			start := l.Now()
			l.At(start.Add(tt.after), func() { tt.wake(cancel) })
			got := l.Wait(ctx, woken, start.Add(time.Hour))
			if d := l.Now().Sub(start); got != tt.wanted || d != tt.after {
				t.Errorf("%s: woken %v after %v, want %v after %v", tt.name, got, d, tt.wanted, tt.after)
			}
			cancel()
		}
		l.Close()
	})
}

func TestVirtualWait(t *testing.T) {
	v := NewVirtual(VirtualOptions{})
	start := v.Now()
	woken := make(chan struct{}, 1)
	v.At(start.Add(time.Second), func() { woken <- struct{}{} })
	v.At(start.Add(time.Minute), func() { woken <- struct{}{} })
	if !v.Wait(t.Context(), woken, start.Add(time.Minute)) || v.Now() != start.Add(time.Second) {
		t.Errorf("not woken after a second, it is %v", v.Now().Sub(start))
	}
	if v.Wait(t.Context(), woken, start.Add(59*time.Second)) || v.Now() != start.Add(59*time.Second) {
		t.Errorf("woken before anything was due, or it is %v", v.Now().Sub(start))
	}
	if !v.Wait(t.Context(), woken, start.Add(time.Minute)) {
		t.Error("not woken by what is due at the end of the wait")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v.Wait(ctx, woken, start.Add(time.Hour)) || v.Now() != start.Add(time.Minute) {
		t.Error("a wait whose context has ended went on")
	}
	var got any
	v.At(v.Now(), func() {
		defer func() { got = recover() }()
		v.Wait(t.Context(), woken, start.Add(time.Hour))
	})
	if v.Step(); got == nil {
		t.Error("a callback waited")
	}
}

func TestVirtualOrder(t *testing.T) {
	var steps int
	v := NewVirtual(VirtualOptions{
		Cost:  func(c Call) time.Duration { return time.Duration(c.Bytes) * time.Second },
		After: func(time.Time) { steps++ },
	})
	start := v.Now()
	var got []string
	note := func(s string) func() {
		return func() { got = append(got, s+"@"+v.Now().Sub(start).String()) }
	}
	v.Input(start.Add(2*time.Second), note("b"))
	v.Input(start.Add(2*time.Second), note("c"))
	v.Input(start.Add(time.Second), func() {
		note("a")()
		v.Start(Call{Bytes: 5, Do: func(context.Context) error { note("do")(); return nil }},
			func(r Result) { note("done")() })
	})
	v.At(start.Add(3*time.Second), note("timer"))
	late := v.At(start.Add(time.Hour), note("late"))
	if !v.At(start.Add(2*time.Second), note("never")).Stop() {
		t.Error("Stop of a pending timer must report true")
	}
	v.Run()
	want := []string{"a@1s", "b@2s", "c@2s", "timer@3s", "do@6s", "done@6s"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if steps != 5 {
		t.Errorf("After ran %d times, want 5", steps)
	}
	v.RunUntil(start.Add(2 * time.Hour))
	if late.Stop() || v.Now() != start.Add(2*time.Hour) || got[len(got)-1] != "late@1h0m0s" {
		t.Errorf("RunUntil: now %v, got %v", v.Now(), got)
	}
	if v.Step() {
		t.Error("Step of an empty queue must report false")
	}
}

func TestVirtualDeadlineAndRand(t *testing.T) {
	run := func() (r Result, n uint64) {
		v := NewVirtual(VirtualOptions{Seed: 7, Cost: func(Call) time.Duration { return time.Minute }})
		v.Start(Call{Deadline: v.Now().Add(time.Second), Do: func(context.Context) error { return nil }},
			func(got Result) { r = got })
		v.Run()
		return r, v.Rand()
	}
	r1, n1 := run()
	r2, n2 := run()
	if !errors.Is(r1.Err, context.DeadlineExceeded) || r1.Took != time.Minute {
		t.Errorf("late call: %+v, want DeadlineExceeded after 1m", r1)
	}
	if r1 != r2 || n1 != n2 {
		t.Error("two runs with one seed differ")
	}
}
