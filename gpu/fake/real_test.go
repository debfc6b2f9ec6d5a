package fake_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
)

// TestRealTime: with the Real clock costs take their time, one after the other in
// a stream and side by side in two.
func TestRealTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fake.Options{
			Gather: fake.Cost{Latency: 10 * time.Millisecond}, Scatter: fake.Cost{Bandwidth: 64},
		})
		start := time.Now()
		a, b := r.stream(), r.stream()
		r.gather(a, 0)
		r.gather(a, 1)
		gathered := a.Record()
		r.scatter(b, 1, 2, gpu.NoBlock, 3) // two blocks of 64 bytes
		scattered := b.Record()
		r.wait(gathered)
		if d := time.Since(start); d != 20*time.Millisecond {
			t.Errorf("two gathers took %v, want 20ms", d)
		}
		if at, _, _ := gathered.Done(); at.Sub(start) != 20*time.Millisecond {
			t.Errorf("device time of two gathers: %v, want 20ms", at.Sub(start))
		}
		r.pending(scattered)
		r.wait(scattered)
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("scatter took %v, want 2s", d)
		}
		// An idle stream does not save time up.
		start = time.Now()
		r.gather(a, 0)
		r.wait(a.Record())
		if d := time.Since(start); d != 10*time.Millisecond {
			t.Errorf("gather of an idle stream took %v, want 10ms", d)
		}
	})
}

// TestRealWaits: a stream that waits for another does not start before it.
func TestRealWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fake.Options{Detect: true})
		start := time.Now()
		a, b := r.stream(), r.stream()
		a.Launch(time.Second, nil)
		r.scatter(a, 7, 1)
		b.Wait(a.Record())
		buf := r.gather(b, 1)
		r.wait(b.Record())
		if buf[0] != 7 {
			t.Errorf("gathered %d, want 7", buf[0])
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("took %v, want 1s", d)
		}
	})
}

// TestRealPauseAndStep: under Pause nothing runs but what is stepped.
func TestRealPauseAndStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fake.Options{Scatter: fake.Cost{Latency: time.Second}})
		s := r.stream()
		r.Pause()
		r.scatter(s, 1, 0)
		first := s.Record()
		r.scatter(s, 2, 0)
		second := s.Record()
		synctest.Wait()
		time.Sleep(time.Hour)
		r.pending(first)
		start := time.Now()
		if !r.Step() { // waits for the cost
			t.Fatal("no step")
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("step took %v, want 1s", d)
		}
		if got := r.object(0)[0]; got != 1 {
			t.Errorf("after one step the block holds %d, want 1", got)
		}
		r.pending(first)
		if n := r.Run(); n != 3 {
			t.Errorf("Run ran %d pieces of work, want 3", n)
		}
		r.reached(second)
		third := r.gather(s, 0)
		r.Resume()
		r.wait(s.Record())
		if third[0] != 2 {
			t.Errorf("gathered %d, want 2", third[0])
		}
	})
}

// TestPauseWaitsForRunningWork: after Pause no work is in its middle.
func TestPauseWaitsForRunningWork(t *testing.T) {
	r := newRig(t, fake.Options{})
	s := r.stream()
	started, end := make(chan struct{}), make(chan struct{})
	var ended atomic.Bool
	s.Launch(0, func() {
		close(started)
		<-end
		ended.Store(true)
	})
	<-started
	paused := make(chan bool)
	go func() {
		r.Pause()
		paused <- ended.Load()
	}()
	for range 1000 {
		runtime.Gosched()
	}
	select {
	case <-paused:
		t.Error("Pause returned while a kernel was running")
		close(end)
	default:
		close(end)
		if !<-paused {
			t.Error("Pause returned before the kernel had ended")
		}
	}
}

// TestHang: a device that hangs runs nothing, lets verbs and contexts return, and
// goes on after Release.
func TestHang(t *testing.T) {
	for _, clock := range []fake.Clock{fake.Real, fake.Virtual} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, fake.Options{Clock: clock})
			s := r.stream()
			r.Hang()
			before := r.object(3)
			r.scatter(s, 5, 3)
			e := s.Record()
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if err := e.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Wait: %v", err)
			}
			if r.Step() {
				t.Error("a step of a device that hangs")
			}
			if !bytes.Equal(before, r.object(3)) {
				t.Error("a device that hangs has written")
			}
			closed := make(chan struct{})
			go func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				close(closed)
			}()
			synctest.Wait()
			select {
			case <-closed:
				t.Error("Close of a stream that hangs returned")
			default:
			}
			r.Release()
			r.wait(e)
			<-closed
			if got := r.object(3)[0]; got != 5 {
				t.Errorf("block holds %d, want 5", got)
			}
		})
	}
}

// TestLose: a lost device fails what is queued, also while it hangs, and what
// comes later.
func TestLose(t *testing.T) {
	for _, clock := range []fake.Clock{fake.Real, fake.Virtual} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, fake.Options{Clock: clock})
			a, b := r.stream(), r.stream()
			r.Hang()
			before := r.object(3)
			r.scatter(a, 5, 3)
			first := a.Record()
			b.Wait(first)
			b.Launch(0, func() { t.Error("a kernel ran on a lost device") })
			second := b.Record()
			r.Lose()
			for _, e := range []gpu.Event{first, second, a.Record()} {
				if err := e.Wait(t.Context()); !errors.Is(err, fake.ErrLost) {
					t.Errorf("event: %v", err)
				}
			}
			if !bytes.Equal(before, r.object(3)) {
				t.Error("a lost device has written")
			}
			if _, err := r.OpenStream(gpu.High); !errors.Is(err, fake.ErrLost) {
				t.Errorf("OpenStream: %v", err)
			}
			if _, err := r.Pin(make([]byte, 10)); !errors.Is(err, fake.ErrLost) {
				t.Errorf("Pin: %v", err)
			}
			if got := r.Stats().SkippedCopies; got != 1 {
				t.Errorf("%d copies left out, want 1", got)
			}
		})
	}
}

// TestLoseCutsCostsShort: work that takes its time fails at once when the device is
// lost.
func TestLoseCutsCostsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fake.Options{Scatter: fake.Cost{Latency: time.Hour}})
		s := r.stream()
		r.scatter(s, 1, 0)
		e := s.Record()
		time.Sleep(time.Minute)
		start := time.Now()
		r.Lose()
		if err := e.Wait(t.Context()); !errors.Is(err, fake.ErrLost) {
			t.Errorf("event: %v", err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("work of a lost device took %v more", d)
		}
	})
}

// TestCloseEndsWhatHolds: Close runs all that is queued, whatever holds it, and
// leaves no goroutine behind.
func TestCloseEndsWhatHolds(t *testing.T) {
	for _, clock := range []fake.Clock{fake.Real, fake.Virtual} {
		for name, hold := range map[string]func(*rig){
			"nothing": func(*rig) {},
			"Pause":   func(r *rig) { r.Pause() },
			"Hang":    func(r *rig) { r.Hang() },
			"Stick":   func(r *rig) { r.Fail(fake.Fault{Effect: fake.Stick}) },
			"Stuck":   func(r *rig) { r.Fail(fake.Fault{Effect: fake.Stick}) },
			"Manual":  func(*rig) {},
		} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, fake.Options{Clock: clock, Manual: name == "Manual"})
				a, b := r.stream(), r.stream()
				hold(r)
				r.scatter(a, 1, 0)
				e := a.Record()
				b.Wait(e)
				buf := r.gather(b, 0)
				last := b.Record()
				if name == "Stuck" { // before Close, not within it
					synctest.Wait()
					r.Run()
					r.pending(e)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				r.reached(e)
				r.reached(last)
				if buf[0] != 1 {
					t.Errorf("%s: gathered %d, want 1", name, buf[0])
				}
				if s := r.Stats(); s.Streams != 0 || s.MemoryBytes != 0 {
					t.Errorf("%s: after Close %+v", name, s)
				}
			})
		}
	}
}
