package lmcache_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
)

// slowPin is a device whose Pin takes as long as it is made to, and uses the memory
// at its end as a real one does.
type slowPin struct {
	gpu.Backend

	entered chan struct{}
	leave   chan struct{}
}

func (s *slowPin) Pin(piece []byte) (unpin func() error, err error) {
	s.entered <- struct{}{}
	<-s.leave
	touch(piece)
	release, err := s.Backend.Pin(piece)
	if err != nil {
		return nil, err
	}
	return func() error {
		touch(piece)
		return release()
	}, nil
}

// touch fails hard if memory is not mapped.
func touch(piece []byte) { copy(make([]byte, 1), piece) }

// An Attach that pins while the engine is closed is waited for: it refuses, what it
// has pinned is unpinned, and only then the memory is unmapped.
func TestAttachBesideClose(t *testing.T) {
	r := newRig(t, setup{})
	dev := &slowPin{Backend: r.dev, entered: make(chan struct{}), leave: make(chan struct{})}
	attached, closed := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := r.eng.Attach(lmcache.WorkerOptions{Model: "late", Backend: dev, Cache: r.cache})
		attached <- err
	}()
	<-dev.entered
	go func() { closed <- r.eng.Close(context.WithoutCancel(t.Context())) }()
	for !r.eng.Stats().Closed { // reading goes on meanwhile
		runtime.Gosched()
	}
	select {
	case err := <-closed:
		t.Fatalf("closed while memory is being pinned: %v", err)
	default:
	}
	close(dev.leave)
	if err := <-attached; !errors.Is(err, lmcache.ErrClosed) {
		t.Errorf("attach: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	r.closed = true
	if s := r.dev.Stats(); s.PinnedBytes != 0 || s.Streams != 0 {
		t.Errorf("%d bytes pinned, %d streams open", s.PinnedBytes, s.Streams)
	}
}

// Workers come and go while the engine is closed: no pinned memory is unmapped and
// none stays pinned.
func TestAttachRacesClose(t *testing.T) {
	leak.Check(t)
	for range 20 {
		dev := fake.New(fake.Options{OnViolation: func(text string) { t.Error(text) }})
		cache, err := dev.NewPaged(shape(8))
		if err != nil {
			t.Fatal(err)
		}
		eng, err := lmcache.Open(t.Context(), lmcache.Options{ChunkTokens: chunkTokens, L1: l1.Options{Bytes: 1 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		open := make(chan struct{})
		close(open)
		var all sync.WaitGroup
		started := make(chan struct{}, 1000)
		for range 3 {
			all.Go(func() {
				for {
					b := &slowPin{Backend: dev, entered: make(chan struct{}, 100), leave: open}
					w, err := eng.Attach(lmcache.WorkerOptions{Model: model, Backend: b, Cache: cache})
					if err != nil {
						if !errors.Is(err, lmcache.ErrClosed) {
							t.Error(err)
						}
						return
					}
					select {
					case started <- struct{}{}:
					default:
					}
					if err := w.Close(); err != nil && !errors.Is(err, lmcache.ErrClosed) {
						t.Error(err)
					}
				}
			})
		}
		<-started
		if err := eng.Close(t.Context()); err != nil {
			t.Error(err)
		}
		all.Wait()
		if s := dev.Stats(); s.PinnedBytes != 0 || s.Streams != 0 {
			t.Errorf("%d bytes pinned, %d streams open", s.PinnedBytes, s.Streams)
		}
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What a device cannot pin is in the statistics of its worker and of the memory;
// the rest works.
func TestWorkerCannotPin(t *testing.T) {
	r := newRig(t, setup{})
	r.dev.Fail(fake.Fault{Kind: fake.Pin})
	w, err := r.eng.Attach(lmcache.WorkerOptions{Model: "slow", Backend: r.dev, Cache: r.cache})
	if err != nil {
		t.Fatal(err)
	}
	s := r.eng.Stats()
	if a, b := s.Workers[0], s.Workers[1]; a.PinnedBytes != 1<<20 || a.UnpinnedBytes != 0 || b.PinnedBytes != 0 || b.UnpinnedBytes != 1<<20 {
		t.Errorf("first worker %d pinned and %d not, second %d and %d", a.PinnedBytes, a.UnpinnedBytes, b.PinnedBytes, b.UnpinnedBytes)
	}
	if d := r.eng.Memory(); d.Bytes != 1<<20 || d.CommittedBytes != 1<<20 || d.PinnedBytes != 0 || d.Base == 0 || d.Align != 64 {
		t.Errorf("%+v", d)
	}
	if m := s.Storage.L1; m.PinnedBytes != 0 || m.UnpinnedBytes != 1<<20 {
		t.Errorf("%d pinned, %d unpinned", m.PinnedBytes, m.UnpinnedBytes)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if m := r.eng.Stats().Storage.L1; m.PinnedBytes != 1<<20 || m.UnpinnedBytes != 0 {
		t.Errorf("without it %d pinned, %d unpinned", m.PinnedBytes, m.UnpinnedBytes)
	}
}
