package fake_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
)

// work runs a random mix of work on four streams, the same for every device, and
// returns what ran, in order, and the memory at the end.
func work(t *testing.T, seed uint64) (journal []fake.Work, memory []byte) {
	t.Helper()
	r := newRig(t, fake.Options{
		Clock: fake.Virtual, Seed: seed,
		Gather: fake.Cost{Latency: time.Microsecond, Bandwidth: 1e9}, Scatter: fake.Cost{Bandwidth: 3e9},
		OnWork: func(w fake.Work) { journal = append(journal, w) },
	})
	streams := []gpu.Stream{r.stream(), r.stream(), r.stream(), r.stream()}
	rng := rand.New(rand.NewPCG(7, 7))
	var events []gpu.Event
	for range 300 {
		s := streams[rng.IntN(len(streams))]
		block := gpu.BlockID(rng.IntN(8))
		switch rng.IntN(5) {
		case 0:
			r.gather(s, block, gpu.NoBlock)
		case 1, 2:
			r.scatter(s, byte(rng.IntN(256)), block)
		case 3:
			events = append(events, s.Record())
		case 4:
			if len(events) > 0 {
				s.Wait(events[rng.IntN(len(events))])
			}
		}
		if rng.IntN(20) == 0 && len(events) > 0 {
			r.wait(events[rng.IntN(len(events))])
		}
	}
	r.Run()
	for b := range gpu.BlockID(8) {
		memory = append(memory, r.object(b)...)
	}
	return journal, memory
}

// TestSeedRepeats: with the Virtual clock a seed gives one order of work, one
// result and one set of times; another seed gives others.
func TestSeedRepeats(t *testing.T) {
	first, memory := work(t, 1)
	if len(first) < 200 {
		t.Fatalf("only %d pieces of work ran", len(first))
	}
	again, sameMemory := work(t, 1)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("one seed, two orders (-first +again):\n%s", diff)
	}
	if !bytes.Equal(memory, sameMemory) {
		t.Error("one seed, two results")
	}
	orders := 0
	for seed := range uint64(4) {
		if other, _ := work(t, seed+2); !cmp.Equal(first, other) {
			orders++
		}
	}
	if orders == 0 {
		t.Error("five seeds, one order")
	}
}

// TestStreamsReorder: without an event two streams run in either order.
func TestStreamsReorder(t *testing.T) {
	var seen [2]bool
	for seed := range uint64(32) {
		r := newRig(t, fake.Options{Clock: fake.Virtual, Seed: seed})
		a, b := r.stream(), r.stream()
		r.scatter(a, 1, 0)
		r.scatter(b, 2, 0)
		r.Run()
		seen[r.object(0)[0]-1] = true
	}
	if seen != [2]bool{true, true} {
		t.Errorf("last writers seen over 32 seeds: %v, want both", seen)
	}
}

// TestEveryOrderOfTwoStreams steps two streams that are ordered by an event in all
// orders that they can run in: the outcome is always the same.
func TestEveryOrderOfTwoStreams(t *testing.T) {
	var orders int
	var try func(prefix []int)
	try = func(prefix []int) {
		r := newRig(t, fake.Options{Clock: fake.Virtual, Manual: true})
		a, b := r.stream(), r.stream()
		r.scatter(a, 1, 0)
		r.scatter(a, 2, 1)
		b.Wait(a.Record())
		r.scatter(b, 3, 0)
		got := r.gather(b, 0, 1)
		done := b.Record()
		streams := []*fake.Stream{a, b}
		for _, i := range prefix {
			if !streams[i].Step() {
				return // not an order that exists
			}
		}
		if len(prefix) < 7 {
			try(append(slices.Clip(prefix), 0))
			try(append(slices.Clip(prefix), 1))
			return
		}
		orders++
		if r.Step() {
			t.Error("there is an eighth piece of work")
		}
		r.reached(done)
		want := append(bytes.Repeat([]byte{3}, r.size/4), bytes.Repeat([]byte{2}, r.size/4)...)
		for i := range 4 {
			if half := got[i*r.size/2:][:r.size/2]; !bytes.Equal(half, want) {
				t.Fatalf("order %v: plane and layer %d: %v", prefix, i, half)
			}
		}
	}
	try(nil)
	// The event holds all of b back, so that b cannot begin before a has ended.
	if orders != 1 {
		t.Errorf("%d orders, want 1", orders)
	}
}

// TestVirtualTime: the device's time is the cost of its work; nothing sleeps.
func TestVirtualTime(t *testing.T) {
	var journal []fake.Work
	r := newRig(t, fake.Options{
		Clock:  fake.Virtual,
		Gather: fake.Cost{Latency: time.Minute, Bandwidth: 32}, Scatter: fake.Cost{Latency: time.Second},
		OnWork: func(w fake.Work) { journal = append(journal, w) },
	})
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	a, b := r.stream(), r.stream()
	r.gather(a, 1, gpu.NoBlock, 2) // two blocks of 64 bytes: 4 s
	copied := a.Record()
	b.Launch(time.Hour, nil)
	b.Wait(copied)
	r.scatter(b, 0, 3)
	late := b.Record()
	r.wait(late)
	if at, _, _ := copied.Done(); at.Sub(start) != time.Minute+4*time.Second {
		t.Errorf("gather ended after %v, want 1m4s", at.Sub(start))
	}
	if at, _, _ := late.Done(); at.Sub(start) != time.Hour+time.Second {
		t.Errorf("scatter ended after %v, want 1h0m1s", at.Sub(start))
	}
	// A stream that waits starts when the other has ended.
	b.Wait(copied)
	a.Wait(late)
	r.scatter(a, 0, 1)
	end := a.Record()
	r.wait(end)
	if at, _, _ := end.Done(); at.Sub(start) != time.Hour+2*time.Second {
		t.Errorf("second scatter ended after %v, want 1h0m2s", at.Sub(start))
	}
	for _, w := range journal {
		if w.Kind == fake.Gather {
			want := fake.Work{
				Stream: 0, Kind: fake.Gather, Blocks: 3, Bytes: 128, Start: start, End: start.Add(time.Minute + 4*time.Second),
			}
			if diff := cmp.Diff(want, w); diff != "" {
				t.Errorf("work (-want +got):\n%s", diff)
			}
		}
	}
}

// TestHostClock: work does not start before the host has queued it.
func TestHostClock(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := newRig(t, fake.Options{
		Clock: fake.Virtual, Now: func() time.Time { return now }, Scatter: fake.Cost{Latency: time.Second},
	})
	s := r.stream()
	for range 3 {
		now = now.Add(time.Hour)
		r.scatter(s, 1, 0)
		e := s.Record()
		r.wait(e)
		if at, _, _ := e.Done(); !at.Equal(now.Add(time.Second)) {
			t.Errorf("queued at %v, ended at %v, want 1s later", now, at)
		}
	}
}

// TestProducer: a copy that waits for the event of a late producer has the late
// bytes, and one that does not may have the early ones.
func TestProducer(t *testing.T) {
	early := false
	for seed := range uint64(16) {
		r := newRig(t, fake.Options{Clock: fake.Virtual, Seed: seed})
		compute, store, hasty := r.stream(), r.stream(), r.stream()
		compute.Launch(time.Second, func() {
			r.Block(r.paged, 0, 0, 0, 4)[0] = 0xAA
		})
		produced := compute.Record()
		store.Wait(produced)
		buf := r.gather(store, 4)
		stored := store.Record()
		wild := r.gather(hasty, 4)
		r.wait(stored)
		r.Run()
		if buf[0] != 0xAA {
			t.Fatalf("seed %d: gathered %x before the producer had run", seed, buf[0])
		}
		early = early || wild[0] != 0xAA
		at, _, _ := produced.Done()
		if end, _, _ := stored.Done(); end.Before(at) {
			t.Errorf("stored at %v, before the producer ended at %v", end, at)
		}
	}
	if !early {
		t.Error("no seed of 16 ran a copy before a producer that it does not wait for")
	}
}

// TestManual: nothing runs but what is stepped; waiting only waits.
func TestManual(t *testing.T) {
	r := newRig(t, fake.Options{Clock: fake.Virtual, Manual: true})
	s := r.stream()
	r.scatter(s, 9, 2)
	e := s.Record()
	before := r.object(2)
	r.pending(e)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: %v", err)
	}
	if !bytes.Equal(before, r.object(2)) {
		t.Fatal("work ran without a step")
	}
	waited := make(chan error)
	go func() { waited <- e.Wait(t.Context()) }()
	if !r.Step() {
		t.Fatal("no step")
	}
	if got := r.object(2); got[0] != 9 {
		t.Errorf("after the step the block holds %d", got[0])
	}
	r.pending(e)
	if n := r.Run(); n != 1 {
		t.Errorf("Run ran %d pieces of work, want 1", n)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	r.reached(e)
	if r.Step() {
		t.Error("a step without work")
	}
}

// TestPolling: asking an event of the Virtual clock again and again gets there.
func TestPolling(t *testing.T) {
	r := newRig(t, fake.Options{Clock: fake.Virtual})
	a, b := r.stream(), r.stream()
	for i := range byte(10) {
		r.scatter(a, i, 0)
		r.scatter(b, i, 1)
	}
	e := a.Record()
	for polls := 1; ; polls++ {
		if _, done, err := e.Done(); done {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if polls > 21 {
			t.Fatalf("not done after %d polls of 21 pieces of work", polls)
		}
	}
}

// TestSteadyCopiesAllocateNothing: queueing and running a copy allocates nothing
// once the queues have grown.
func TestSteadyCopiesAllocateNothing(t *testing.T) {
	r := newRig(t, fake.Options{Clock: fake.Virtual, Manual: true})
	s := r.stream()
	buf, blocks := make([]byte, 4*r.size), []gpu.BlockID{1, 2, gpu.NoBlock, 5}
	if n := testing.AllocsPerRun(1000, func() {
		for range 8 {
			s.Gather(buf, r.paged, 0, blocks)
			s.Scatter(buf, r.paged, 0, blocks)
		}
		for r.Step() {
		}
	}); n != 0 {
		t.Errorf("%v allocations for 16 copies", n)
	}
}
