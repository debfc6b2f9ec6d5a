package gputest

import (
	"context"
	"errors"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
)

// streamOrder: copies of one stream run in the order of the calls, without events:
// each reads what the one before it has written.
func streamOrder(b *bench) {
	s := b.stream(gpu.Normal)
	p, models := b.paged(b.small())
	g := &p.Groups[0]
	buf := b.random(g.Bytes(2))
	for i := range gpu.BlockID(40) {
		from := []gpu.BlockID{i % 5, i%5 + 1}
		to := []gpu.BlockID{i%7 + 1, i % 7}
		s.Gather(buf, p, 0, from)
		s.Scatter(buf, p, 0, to)
		models[0].Apply(models[0].Object(from), to)
	}
	b.finish(s)
	b.check(p, 0, models[0])
}

// eventOrder: an event orders streams, through host memory and through blocks.
func eventOrder(b *bench) {
	a, z := b.stream(gpu.Normal), b.stream(gpu.High)
	p, models := b.paged(b.small(), b.small())
	g := &p.Groups[0]
	const rounds = 60
	buf := b.random(g.Bytes(1))
	for i := range rounds {
		// a: block from → buf; z: buf → block to of the other group.
		from, to := []gpu.BlockID{gpu.BlockID(i % 5)}, []gpu.BlockID{gpu.BlockID(i % 7)}
		a.Gather(buf, p, 0, from)
		z.Wait(a.Record())
		z.Scatter(buf, p, 1, to)
		models[1].Apply(models[0].Object(from), to)
		// z: block to → buf; a: buf → the block that it reads next.
		z.Gather(buf, p, 1, to)
		a.Wait(z.Record())
		next := []gpu.BlockID{gpu.BlockID((i + 1) % 5)}
		a.Scatter(buf, p, 0, next)
		models[0].Apply(models[1].Object(to), next)
	}
	b.finish(a)
	b.finish(z)
	b.check(p, 0, models[0])
	b.check(p, 1, models[1])
}

// eventTimes: the times of a stream's events never go backwards, nor do those of
// events that wait for each other.
func eventTimes(b *bench) {
	a, z := b.stream(gpu.Normal), b.stream(gpu.High)
	p, _ := b.paged(b.small())
	g := &p.Groups[0]
	bufs := [2][]byte{b.random(g.Bytes(1)), b.random(g.Bytes(1))}
	var last time.Time
	for i := range 50 {
		a.Gather(bufs[0], p, 0, []gpu.BlockID{gpu.BlockID(i % 3)})
		ea := a.Record()
		z.Wait(ea)
		z.Gather(bufs[1], p, 0, []gpu.BlockID{gpu.BlockID(i % 4)})
		ez := z.Record()
		a.Wait(ez)
		for _, e := range []gpu.Event{ea, ez} {
			if err := e.Wait(b.t.Context()); err != nil {
				b.t.Fatal(err)
			}
			at, done, err := e.Done()
			if !done || err != nil {
				b.t.Fatalf("Done after Wait: %v, %v", done, err)
			}
			if at.IsZero() {
				b.t.Fatal("an event that is done has no time")
			}
			// Streams may convert their clocks apart, each within 50 µs.
			if at.Before(last.Add(-100 * time.Microsecond)) {
				b.t.Fatalf("event %d at %v, before %v", i, at, last)
			}
			last = at
		}
	}
	last = time.Time{}
	var events []gpu.Event
	for range 50 {
		a.Gather(bufs[0], p, 0, []gpu.BlockID{1})
		events = append(events, a.Record(), a.Record())
	}
	b.finish(a)
	for i, e := range events {
		at, done, err := e.Done()
		if !done || err != nil {
			b.t.Fatalf("event %d before one that is done: %v, %v", i, done, err)
		}
		if at.Before(last) {
			b.t.Fatalf("event %d of one stream at %v, before %v", i, at, last)
		}
		last = at
	}
}

// eventWait: Wait honours its context, any number of goroutines may wait, a nil
// event is no wait.
func eventWait(b *bench) {
	s := b.stream(gpu.Normal)
	p, _ := b.paged(b.small())
	buf := b.random(p.Groups[0].Bytes(1))
	s.Wait(nil)

	hold, canHold := b.h.(Holder)
	if canHold {
		hold.Hold()
	}
	s.Gather(buf, p, 0, []gpu.BlockID{2})
	e := s.Record()
	if canHold {
		if at, done, err := e.Done(); done || err != nil || !at.IsZero() {
			b.t.Fatalf("Done of held work: %v, %v, %v", at, done, err)
		}
		ctx, cancel := context.WithCancelCause(b.t.Context())
		waited := make(chan error, 1)
		go func() { waited <- e.Wait(ctx) }()
		cancel(errors.New("enough"))
		if err := <-waited; !errors.Is(err, context.Canceled) {
			b.t.Fatalf("Wait with a context that ends: %v", err)
		}
	}
	const waiters = 8
	waited := make(chan error, waiters)
	for range waiters {
		go func() { waited <- e.Wait(b.t.Context()) }()
	}
	if canHold {
		hold.Release()
	}
	for range waiters {
		if err := <-waited; err != nil {
			b.t.Fatal(err)
		}
	}
	ended, cancel := context.WithCancel(b.t.Context())
	cancel()
	if err := e.Wait(ended); err != nil {
		b.t.Fatalf("Wait for an event that is done, with a context that has ended: %v", err)
	}
}

// usedLate: verbs return while the device stands still, and memory is read when
// the work runs.
func usedLate(b *bench) {
	hold, ok := b.h.(Holder)
	if !ok {
		b.t.Skip("this harness cannot hold work back")
	}
	s := b.stream(gpu.Normal)
	p, models := b.paged(b.small())
	g := &p.Groups[0]
	hold.Hold()
	src, dst := b.random(g.Bytes(2)), b.random(g.Bytes(2))
	at, other := []gpu.BlockID{4, 2}, []gpu.BlockID{7, 8}
	s.Scatter(src, p, 0, at)
	s.Gather(dst, p, 0, other)
	e := s.Record()
	b.check(p, 0, models[0])

	b.scramble(src) // after the call
	for layer := range g.LayerCount() {
		for plane := range g.Planes() {
			models[0].Element(plane, layer, other[0], 0, 0, 0)[0] ^= 0xFF
		}
	}
	b.upload(g, models[0])
	late := models[0].Object(other)
	models[0].Apply(src, at)
	hold.Release()
	if err := e.Wait(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.equal("gathered", dst, late)
	b.check(p, 0, models[0])
}
