package gputest

import (
	"errors"

	"github.com/lmcache-go/lmcache/gpu"
)

// allocator: memory that is given out can be written and read, at any offset, by
// the host and by streams, and comes back.
func allocator(b *bench) {
	a, ok := b.dev.(gpu.Allocator)
	if !ok {
		b.t.Skip("this backend gives out no memory")
	}
	if _, _, err := a.Alloc(0); err == nil {
		b.t.Error("a tensor of no bytes: no error")
	}
	t, free, err := a.Alloc(1000)
	if err != nil {
		b.t.Fatal(err)
	}
	if t.Bytes() != 1000 {
		b.t.Errorf("a tensor of %d bytes, want 1000", t.Bytes())
	}
	want := b.random(1000)
	got := make([]byte, 1000)
	for _, part := range [][2]int{{0, 1000}, {0, 1}, {999, 1000}, {500, 500}, {123, 777}} {
		lo, hi := part[0], part[1]
		b.scramble(want[lo:hi])
		if err := a.Upload(t, int64(lo), want[lo:hi]); err != nil {
			b.t.Fatal(err)
		}
		if err := a.Download(got[lo:hi], t, int64(lo)); err != nil {
			b.t.Fatal(err)
		}
		b.equal("downloaded", got, want)
	}
	for _, bad := range []struct {
		offset int64
		n      int
	}{{-1, 1}, {0, 1001}, {1000, 1}, {1 << 62, 1}, {-1 << 62, 1}} {
		if err := a.Upload(t, bad.offset, make([]byte, bad.n)); err == nil {
			b.t.Errorf("upload of %d bytes from %d: no error", bad.n, bad.offset)
		}
		if err := a.Download(make([]byte, bad.n), t, bad.offset); err == nil {
			b.t.Errorf("download of %d bytes from %d: no error", bad.n, bad.offset)
		}
	}
	if err := a.Download(got, t, 0); err != nil {
		b.t.Fatal(err)
	}
	b.equal("bytes after refused uploads", got, want)
	for range 2 {
		if err := free(); err != nil {
			b.t.Error(err)
		}
	}
}

// selfTest: the self-test passes, touches no memory of the cache, leaves the
// device as it was, and finds a device that fails.
func selfTest(b *bench) {
	p, models := b.paged(b.shapes()...)
	err := gpu.SelfTest(b.t.Context(), b.dev, p)
	if errors.Is(err, errors.ErrUnsupported) {
		b.t.Skip(err)
	}
	if err != nil {
		b.t.Error(err)
	}
	for i := range p.Groups {
		b.check(p, i, models[i])
	}
	f, ok := b.h.(Faulter)
	if !ok {
		return
	}
	cause := errors.New("a cause")
	f.FailNextCopy(cause)
	if err := gpu.SelfTest(b.t.Context(), b.dev, p); !errors.Is(err, cause) {
		b.t.Errorf("self-test of a device that fails: %v", err)
	}
}
