package gputest

import (
	"errors"

	"github.com/lmcache-go/lmcache/gpu"
)

// errorsReachTheEvent: copies that cannot be done fail the next event, change no
// other block, and are forgotten behind it.
func errorsReachTheEvent(b *bench) {
	s := b.stream(gpu.Normal)
	p, models := b.paged(b.small())
	g := &p.Groups[0]
	one, good := g.Bytes(1), []gpu.BlockID{3}
	for _, bad := range []struct {
		name string
		call func()
	}{
		{"gather into a short buffer", func() { s.Gather(make([]byte, one-1), p, 0, good) }},
		{"gather into a long buffer", func() { s.Gather(make([]byte, one+1), p, 0, good) }},
		{"scatter from a short buffer", func() { s.Scatter(make([]byte, one-1), p, 0, good) }},
		{"gather of a block that is not there", func() { s.Gather(make([]byte, one), p, 0, []gpu.BlockID{smallBlocks}) }},
		{"scatter to a block that is not there", func() { s.Scatter(make([]byte, one), p, 0, []gpu.BlockID{smallBlocks}) }},
		{"scatter to a negative block", func() { s.Scatter(make([]byte, one), p, 0, []gpu.BlockID{-2}) }},
		{"gather of a group that is not there", func() { s.Gather(make([]byte, one), p, 1, good) }},
		{"gather of a negative group", func() { s.Gather(make([]byte, one), p, -1, good) }},
		{"scatter to no cache", func() { s.Scatter(make([]byte, one), nil, 0, good) }},
	} {
		bad.call()
		if err := s.Record().Wait(b.t.Context()); err == nil {
			b.t.Errorf("%s: no error", bad.name)
		}
		buf := b.random(one)
		s.Gather(buf, p, 0, good)
		e := s.Record()
		if err := e.Wait(b.t.Context()); err != nil {
			b.t.Errorf("good copy behind %s: %v", bad.name, err)
		}
		b.equal("gathered behind "+bad.name, buf, models[0].Object(good))
	}
	b.check(p, 0, models[0])

	// One event carries the error, those before and behind it do not.
	s.Gather(b.random(one), p, 0, good)
	before := s.Record()
	s.Gather(make([]byte, one-1), p, 0, good)
	s.Gather(b.random(one), p, 0, good)
	at := s.Record()
	behind := s.Record()
	if err := behind.Wait(b.t.Context()); err != nil {
		b.t.Errorf("event behind the failed one: %v", err)
	}
	if _, done, err := at.Done(); !done || err == nil {
		b.t.Errorf("failed event: %v, %v", done, err)
	}
	if _, done, err := before.Done(); !done || err != nil {
		b.t.Errorf("event before the failed one: %v, %v", done, err)
	}

	f, ok := b.h.(Faulter)
	if !ok {
		return
	}
	cause := errors.New("a cause")
	f.FailNextCopy(cause)
	s.Gather(b.random(one), p, 0, good)
	e := s.Record()
	if err := e.Wait(b.t.Context()); !errors.Is(err, cause) {
		b.t.Errorf("Wait behind a copy that failed: %v", err)
	}
	if _, done, err := e.Done(); !done || !errors.Is(err, cause) {
		b.t.Errorf("Done behind a copy that failed: %v, %v", done, err)
	}
}

// errorsOfWaits: a failed event fails the stream that waits for it, up to its next
// Record, and no copy in between reaches a block.
func errorsOfWaits(b *bench) {
	a, z := b.stream(gpu.Normal), b.stream(gpu.High)
	p, models := b.paged(b.small())
	g := &p.Groups[0]
	one := g.Bytes(1)
	a.Gather(make([]byte, one-1), p, 0, []gpu.BlockID{0})
	failed := a.Record()
	z.Wait(failed)
	z.Scatter(b.random(one), p, 0, []gpu.BlockID{1})
	first, second := z.Record(), z.Record()
	if err := second.Wait(b.t.Context()); err != nil {
		b.t.Errorf("second event behind the wait: %v", err)
	}
	_, _, err := first.Done()
	if err == nil {
		b.t.Error("first event behind the wait: no error")
	}
	if cause := failed.Wait(b.t.Context()); cause == nil || !errors.Is(err, cause) {
		b.t.Errorf("first event behind the wait: %v, want it to wrap %v", err, cause)
	}
	b.check(p, 0, models[0])
}

// errorsOfTheDevice: a broken device fails everything, also what comes later and
// on other streams, and closes all the same.
func errorsOfTheDevice(b *bench) {
	f, ok := b.h.(Faulter)
	if !ok {
		b.t.Skip("this harness cannot make copies fail")
	}
	a, z := b.stream(gpu.Normal), b.stream(gpu.High)
	p, _ := b.paged(b.small())
	b.finish(a)
	f.BreakDevice()
	for range 3 {
		for _, s := range []gpu.Stream{a, z} {
			s.Gather(b.random(p.Groups[0].Bytes(1)), p, 0, []gpu.BlockID{0})
			if err := s.Record().Wait(b.t.Context()); err == nil {
				b.t.Error("work of a broken device: no error")
			}
		}
		z.Wait(a.Record())
		if err := z.Record().Wait(b.t.Context()); err == nil {
			b.t.Error("wait on a broken device: no error")
		}
	}
}
