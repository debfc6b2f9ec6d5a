package gputest

import (
	"errors"
	"slices"
	"sync"

	"github.com/lmcache-go/lmcache/gpu"
)

// pin: a region can be pinned, used and unpinned, again and again; copies work
// with memory that is not pinned.
func pin(b *bench) {
	s := b.stream(gpu.Normal)
	p, models := b.paged(b.small())
	size := p.Groups[0].Bytes(2)
	region := b.random(1 << 20)
	at := []gpu.BlockID{5, 1}
	for range 3 {
		unpin, err := b.dev.Pin(region)
		if err != nil {
			b.t.Fatal(err)
		}
		again, err := b.dev.Pin(region) // for another user
		if err != nil {
			b.t.Fatal(err)
		}
		if err := again(); err != nil {
			b.t.Fatal(err)
		}
		buf := region[4096 : 4096+size]
		s.Gather(buf, p, 0, at)
		b.finish(s)
		b.equal("gathered into pinned memory", buf, models[0].Object(at))
		if err := unpin(); err != nil {
			b.t.Fatal(err)
		}
		if err := unpin(); err != nil {
			b.t.Fatalf("second unpin: %v", err)
		}
		clear(buf)
		s.Gather(buf, p, 0, at)
		b.finish(s)
		b.equal("gathered into memory that is not pinned", buf, models[0].Object(at))
	}
}

// closeStream: Close waits for queued work, works twice, and verbs behind it do
// no harm.
func closeStream(b *bench) {
	s := b.stream(gpu.Normal)
	p, models := b.paged(b.small())
	g := &p.Groups[0]
	var events []gpu.Event
	for i := range 20 {
		at := []gpu.BlockID{gpu.BlockID(i % 6)}
		buf := b.random(g.Bytes(1))
		s.Scatter(buf, p, 0, at)
		models[0].Apply(buf, at)
		events = append(events, s.Record())
	}
	for range 2 {
		if err := s.Close(); err != nil {
			b.t.Fatal(err)
		}
	}
	for i, e := range events {
		if _, done, err := e.Done(); !done || err != nil {
			b.t.Fatalf("event %d after Close: %v, %v", i, done, err)
		}
	}
	b.check(p, 0, models[0])

	other := b.stream(gpu.Normal)
	other.Wait(events[0]) // an event outlives its stream
	b.finish(other)
}

// closeBackend: Close closes what is open, works twice, and ends all services.
func closeBackend(b *bench) {
	s, err := b.dev.NewStream(gpu.Normal)
	if err != nil {
		b.t.Fatal(err)
	}
	p, models := b.paged(b.small())
	at := []gpu.BlockID{2, 3}
	buf := b.random(p.Groups[0].Bytes(2))
	s.Gather(buf, p, 0, at)
	e := s.Record()
	for range 2 {
		if err := b.dev.Close(); err != nil {
			b.t.Fatal(err)
		}
	}
	if _, done, err := e.Done(); !done || err != nil {
		b.t.Fatalf("event after Close of the backend: %v, %v", done, err)
	}
	b.equal("gathered before Close", buf, models[0].Object(at))
	if err := s.Close(); err != nil {
		b.t.Fatalf("close of a stream after that of its backend: %v", err)
	}
	if _, err := b.dev.NewStream(gpu.Normal); !errors.Is(err, gpu.ErrClosed) {
		b.t.Errorf("NewStream after Close: %v", err)
	}
}

// concurrent: streams that use memory of their own do not disturb each other.
func concurrent(b *bench) {
	const streams, rounds = 6, 40
	p, models := b.paged(b.smallOf(4 * streams))
	g := &p.Groups[0]
	var wg sync.WaitGroup
	for n := range streams {
		s := b.stream(gpu.Priority(n % 2))
		mine := [2][]byte{b.random(g.Bytes(2)), b.random(g.Bytes(2))}
		first := gpu.BlockID(4 * n)
		low, mid := []gpu.BlockID{first, first + 1}, []gpu.BlockID{first + 1, first + 2}
		high, rim := []gpu.BlockID{first + 2, first + 3}, []gpu.BlockID{first + 3, first}
		all := []gpu.BlockID{first, first + 1, first + 2, first + 3}
		from := slices.Clone(all) // what will be there
		for range rounds {
			from[1], from[2] = from[0], from[1]
			from[3], from[0] = from[2], from[3]
		}
		models[0].Apply(models[0].Object(from), all)
		wg.Go(func() {
			for range rounds {
				s.Gather(mine[0], p, 0, low)
				s.Scatter(mine[0], p, 0, mid)
				e := s.Record()
				s.Gather(mine[1], p, 0, high)
				s.Scatter(mine[1], p, 0, rim)
				if err := e.Wait(b.t.Context()); err != nil {
					b.t.Error(err)
				}
			}
			if err := s.Record().Wait(b.t.Context()); err != nil {
				b.t.Error(err)
			}
		})
	}
	wg.Wait()
	b.check(p, 0, models[0])
}
