package fake_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
)

// foreign is an event that no device has recorded.
type foreign struct{}

func (foreign) Done() (time.Time, bool, error) { return time.Time{}, true, nil }
func (foreign) Wait(context.Context) error     { return nil }

// TestForeignEvents: waiting for an event that the device has not recorded fails
// the stream and is reported.
func TestForeignEvents(t *testing.T) {
	r := newRig(t, fake.Options{Index: 3, OnViolation: ignore})
	other := newRig(t, fake.Options{})
	s, o := r.stream(), other.stream()
	for _, e := range []gpu.Event{foreign{}, o.Record()} {
		s.Wait(e)
		r.scatter(s, 1, 0)
		if err := s.Record().Wait(t.Context()); err == nil {
			t.Errorf("wait for a %T: no error", e)
		}
		r.gather(s, 0)
		r.wait(s.Record())
	}
	if got := r.object(0)[0]; got == 1 {
		t.Error("work behind the wait has run")
	}
	wantViolations(t, r.Device,
		"fake:3: stream 0 waits for an event of type fake_test.foreign", "stream 0 waits for an event of type *fake.event")
}

// TestUseAfterClose: verbs of a closed stream do nothing but tell.
func TestUseAfterClose(t *testing.T) {
	r := newRig(t, fake.Options{OnViolation: ignore})
	s := r.stream()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := r.object(0)
	r.scatter(s, 1, 0)
	r.gather(s, 0)
	s.Launch(0, func() { t.Error("a kernel ran on a closed stream") })
	e := s.Record()
	if _, done, err := e.Done(); !done || !errors.Is(err, gpu.ErrClosed) {
		t.Errorf("event: %v, %v", done, err)
	}
	s.Wait(e)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if string(before) == string(r.object(1)) {
		t.Error("memory was not freed")
	}
	if _, err := r.NewPaged(gpu.Shape{Layers: 1, Blocks: 1, BlockTokens: 1, Heads: 1, HeadSize: 1, DType: "int8"}); !errors.Is(err, gpu.ErrClosed) {
		t.Errorf("NewPaged after Close: %v", err)
	}
	got := r.Violations()
	if len(got) < 5 {
		t.Fatalf("violations: %q", got)
	}
	for i, verb := range []string{"scatter", "gather", "kernel", "record", "wait"} {
		if want := "fake:0: " + verb + " on stream 0 after close"; got[i] != want {
			t.Errorf("violation %d: %q, want %q", i, got[i], want)
		}
	}
}

// TestBadCopies: copies out of bounds fail, touch nothing, and are reported.
func TestBadCopies(t *testing.T) {
	r := newRig(t, fake.Options{OnViolation: ignore})
	other := newRig(t, fake.Options{})
	s := r.stream()
	odd := &gpu.Paged{Groups: []gpu.Group{r.paged.Groups[0], r.paged.Groups[0], r.paged.Groups[0]}}
	odd.Groups[1].Blocks = 9
	odd.Groups[2].HeadSize = math.MaxInt/2 + 1
	calls := []func(){
		func() { s.Gather(make([]byte, r.size), r.paged, 0, []gpu.BlockID{8}) },
		func() { s.Scatter(make([]byte, r.size), r.paged, 0, []gpu.BlockID{-2}) },
		func() { s.Gather(make([]byte, r.size), r.paged, 0, nil) },
		func() { s.Gather(make([]byte, r.size), r.paged, 1, []gpu.BlockID{0}) },
		func() { s.Gather(make([]byte, r.size), nil, 0, []gpu.BlockID{0}) },
		func() { s.Gather(make([]byte, r.size), other.paged, 0, []gpu.BlockID{0}) },
		func() { s.Gather(make([]byte, r.size), odd, 1, []gpu.BlockID{0}) },
		func() { s.Gather(make([]byte, r.size), odd, 2, []gpu.BlockID{0}) },
	}
	for i, call := range calls {
		call()
		if err := s.Record().Wait(t.Context()); !errors.Is(err, fake.ErrBounds) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if got := len(r.Violations()); got != len(calls) {
		t.Errorf("%d violations of %d calls", got, len(calls))
	}
	if got := r.Stats().FailedCopies; got != int64(len(calls)) {
		t.Errorf("%d failed copies of %d", got, len(calls))
	}
	views := []func() []byte{
		func() []byte { return r.Block(r.paged, 1, 0, 0, 0) },
		func() []byte { return r.Block(r.paged, 0, 2, 0, 0) },
		func() []byte { return r.Block(r.paged, 0, 0, 2, 0) },
		func() []byte { return r.Block(r.paged, 0, 0, 0, 8) },
		func() []byte { return r.Block(r.paged, 0, 0, 0, -1) },
		func() []byte { return r.Block(other.paged, 0, 0, 0, 0) },
	}
	for i, view := range views {
		if view() != nil {
			t.Errorf("view %d exists", i)
		}
	}
	if got := len(r.Violations()); got != len(calls)+len(views) {
		t.Errorf("%d violations of %d calls", got, len(calls)+len(views))
	}
}

// TestTwoUsers: two goroutines in verbs of one stream at once are reported.
func TestTwoUsers(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	armed := false
	r := newRig(t, fake.Options{
		Clock: fake.Virtual, OnViolation: ignore,
		Now: func() time.Time { // called in the middle of a verb
			if armed {
				armed = false
				entered <- struct{}{}
				<-leave
			}
			return time.Time{}
		},
	})
	s := r.stream()
	armed = true
	done := make(chan struct{})
	go func() {
		r.gather(s, 0)
		close(done)
	}()
	<-entered
	s.Record()
	close(leave)
	<-done
	s.Record() // alone again
	wantViolations(t, r.Device, "Record while another goroutine uses stream 0")
}

// TestDetect: with Options.Detect copies that no event orders are found, whatever
// order they happen to run in; ordered ones are left in peace.
func TestDetect(t *testing.T) {
	for _, tc := range []struct {
		name string
		run  func(r *rig, a, b, c *fake.Stream, buf []byte)
		want []string
	}{
		{"one stream", func(r *rig, a, _, _ *fake.Stream, buf []byte) {
			a.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{0})
			a.Scatter(buf[:r.size], r.paged, 0, []gpu.BlockID{0})
		}, nil},
		{"two gathers into one buffer", func(r *rig, a, b, _ *fake.Stream, buf []byte) {
			a.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{0})
			b.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{1})
		}, []string{"gather on stream 1 races with a copy on stream 0 for the same host memory"}},
		{"buffers that overlap by one byte", func(r *rig, a, b, _ *fake.Stream, buf []byte) {
			a.Gather(buf[:r.size:r.size], r.paged, 0, []gpu.BlockID{0})
			b.Gather(buf[r.size-1:][:r.size], r.paged, 0, []gpu.BlockID{1})
		}, []string{"host memory"}},
		{"neighbours", func(r *rig, a, b, _ *fake.Stream, buf []byte) {
			a.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{0})
			b.Gather(buf[r.size:][:r.size], r.paged, 0, []gpu.BlockID{1})
		}, nil},
		{"two readers", func(r *rig, a, b, _ *fake.Stream, buf []byte) {
			a.Scatter(buf[:r.size], r.paged, 0, []gpu.BlockID{0})
			b.Scatter(buf[:r.size], r.paged, 0, []gpu.BlockID{1})
			a.Gather(buf[r.size:][:r.size], r.paged, 0, []gpu.BlockID{4})
			b.Gather(buf[2*r.size:][:r.size], r.paged, 0, []gpu.BlockID{4})
		}, nil},
		{"reader and writer of a buffer", func(r *rig, a, b, _ *fake.Stream, buf []byte) {
			a.Scatter(buf[:r.size], r.paged, 0, []gpu.BlockID{0})
			b.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{1})
		}, []string{"gather on stream 1 races with a copy on stream 0 for the same host memory"}},
		{"two writers of a block", func(r *rig, a, b, _ *fake.Stream, buf []byte) {
			a.Scatter(buf[:2*r.size], r.paged, 0, []gpu.BlockID{0, 5})
			b.Scatter(buf[:2*r.size], r.paged, 0, []gpu.BlockID{gpu.NoBlock, 5})
		}, []string{"scatter on stream 1 races with a copy on stream 0 for the same blocks"}},
		{"an event orders", func(r *rig, a, b, _ *fake.Stream, buf []byte) {
			a.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{0})
			b.Wait(a.Record())
			b.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{1})
		}, nil},
		{"an event that is too early", func(r *rig, a, b, _ *fake.Stream, buf []byte) {
			e := a.Record()
			a.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{0})
			b.Wait(e)
			b.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{1})
		}, []string{"host memory"}},
		{"events order through a third stream", func(r *rig, a, b, c *fake.Stream, buf []byte) {
			a.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{0})
			c.Wait(a.Record())
			b.Wait(c.Record())
			b.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{1})
		}, nil},
		{"the host has waited", func(r *rig, a, b, _ *fake.Stream, buf []byte) {
			a.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{0})
			r.wait(a.Record())
			b.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{1})
		}, nil},
		{"the host has not waited", func(r *rig, a, b, _ *fake.Stream, buf []byte) {
			a.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{0})
			r.Run() // it has run, but nobody who queues the next could know
			b.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{1})
		}, []string{"host memory"}},
		{"the host has closed the stream", func(r *rig, a, b, _ *fake.Stream, buf []byte) {
			a.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{0})
			if err := a.Close(); err != nil {
				r.tb.Error(err)
			}
			b.Gather(buf[:r.size], r.paged, 0, []gpu.BlockID{1})
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, fake.Options{Clock: fake.Virtual, Detect: true, OnViolation: ignore})
			tc.run(r, r.stream(), r.stream(), r.stream(), make([]byte, 4*r.size))
			r.Run()
			wantViolations(t, r.Device, tc.want...)
		})
	}
}
