package l1_test

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
)

// device pins pieces and refuses some.
type device struct {
	mu     sync.Mutex
	refuse func(offset int64) bool
	base   uintptr
	pins   map[int64]int // bytes by offset
	asked  int
	unpin  error
}

// address is where a buffer begins.
func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

func newDevice(refuse func(int64) bool) *device {
	return &device{refuse: refuse, pins: map[int64]int{}}
}

func (d *device) pin(piece []byte) (func() error, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	piece[0]++ // it is mapped
	piece[0]--
	off := int64(address(piece) - d.base)
	d.asked++
	if d.refuse != nil && d.refuse(off) {
		return nil, errors.New("out of page-locked memory")
	}
	d.pins[off] = len(piece)
	return func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.pins, off)
		return d.unpin
	}, nil
}

func (d *device) calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

func (d *device) bytes() (n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, size := range d.pins {
		n += int64(size)
	}
	return n
}

// REQ-S34: memory that cannot be pinned is counted, seen, logged once as an error,
// and handed out last, whether the device comes before or after it.
func TestREQ_S34_UnpinnedMemoryIsSeenAndUsedLast(t *testing.T) {
	leak.Check(t)
	bad := []int64{2 * step, 3 * step, 7 * step}
	for _, early := range []bool{true, false} {
		g := newGate(0)
		var log bytes.Buffer
		var logged sync.Mutex
		m := newLive(t, l1.Faulty(l1.Options{
			Bytes: 10 * step, InitBytes: 4 * step, Logger: slog.New(slog.NewTextHandler(&locked{mu: &logged, w: &log}, nil)),
		}, step, g.fault))
		t.Cleanup(g.open)
		if s, d := m.Stats(), m.Memory(); s.PinnedBytes != 0 || s.UnpinnedBytes != 0 || d.PinnedBytes != 0 {
			t.Errorf("without a device: %+v", s)
		}
		if !early {
			g.open()
			until(t, "growth", func() bool { return m.Memory().CommittedBytes == 10*step })
		}
		dev := newDevice(func(off int64) bool { return slices.Contains(bad, off) })
		dev.base = m.Memory().Base
		p, err := m.Pin("gpu0", dev.pin)
		if err != nil {
			t.Fatal(err)
		}
		if early {
			// What was committed is asked for already.
			if pinned, unpinned := p.Bytes(); pinned != 2*step || unpinned != 2*step || m.Memory().PinnedBytes != 2*step {
				t.Errorf("%d pinned, %d unpinned at once", pinned, unpinned)
			}
			g.open()
		}
		until(t, "pins", func() bool { return m.Stats().UnpinnedBytes == 3*step && m.Stats().PinnedBytes == 7*step })
		if pinned, unpinned := p.Bytes(); pinned != 7*step || unpinned != 3*step || dev.bytes() != pinned || dev.calls() != 10 {
			t.Errorf("%d pinned, %d unpinned, the device has %d after %d calls", pinned, unpinned, dev.bytes(), dev.calls())
		}
		until(t, "readiness", func() bool { return m.Stats().CommittedBytes == 10*step })
		base := m.Memory().Base
		var leases []l1.WriteLease
		for i := range 10 * 16 {
			w, n := stage(t, m, layoutOf(t, unit), chunk(1, i))
			if n != 1 {
				t.Fatalf("object %d was not granted: %+v", i, m.Stats())
			}
			leases = append(leases, w)
			for _, b := range w.All() {
				off := int64(address(b) - base)
				if last := slices.Contains(bad, off/step*step); last != (i >= 7*16) && !early {
					t.Fatalf("object %d lies at %d", i, off)
				}
			}
		}
		// A second device that can pin all does not change what the first one cannot.
		other := newDevice(nil)
		other.base = base
		q, err := m.Pin("gpu1", other.pin)
		if err != nil {
			t.Fatal(err)
		}
		if s := m.Stats(); s.PinnedBytes != 7*step || s.UnpinnedBytes != 3*step || other.bytes() != 10*step {
			t.Errorf("two devices: %+v", s)
		}
		for range 2 {
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if s := m.Stats(); s.PinnedBytes != 10*step || s.UnpinnedBytes != 0 || dev.bytes() != 0 {
			t.Errorf("after the first device has gone: %+v", s)
		}
		other.unpin = errors.New("device lost")
		if err := q.Close(); !errors.Is(err, other.unpin) {
			t.Errorf("close: %v", err)
		}
		for _, w := range leases {
			w.Abort(time.Now(), l1.AbortOwner)
		}
		if err := m.Check(); err != nil {
			t.Error(err)
		}
		logged.Lock()
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), `device=gpu0`) {
			t.Errorf("%d errors in the log:\n%s", n, log.String())
		}
		logged.Unlock()
	}
}

// What a caller committed before memory ran out is populated and pinned like the rest.
func TestMemoryBeforeTheLossIsPinned(t *testing.T) {
	leak.Check(t)
	g := newGate(0)
	var commits, populated atomic.Int64
	m := newLive(t, l1.Faulty(l1.Options{Bytes: 20 * step, InitBytes: 3 * step}, step, func(s l1.Step) error {
		switch {
		case s == l1.StepCommit && commits.Add(1) > 8:
			return errors.New("no space left")
		case s == l1.StepPopulate:
			defer populated.Add(1)
		}
		return g.fault(s)
	}))
	t.Cleanup(g.open)
	dev := newDevice(nil)
	dev.base = m.Memory().Base
	p, err := m.Pin("gpu0", dev.pin)
	if err != nil {
		t.Fatal(err)
	}
	w, n := stage(t, m, layoutOf(t, unit), chunks(1, 0, 20*16)...)
	if s := m.Stats(); n != 8*16 || s.CapacityBytes != 8*step {
		t.Fatalf("%d granted: %+v", n, s)
	}
	g.open()
	until(t, "the pins", func() bool { // the first pieces were pinned before they are populated
		pinned, _ := p.Bytes()
		return pinned == 8*step && populated.Load() >= 8
	})
	if s := m.Stats(); s.PinnedBytes != 8*step || populated.Load() != 8 {
		t.Errorf("%d pieces populated: %+v", populated.Load(), s)
	}
	w.Abort(time.Now(), l1.AbortOwner)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// A device may have nothing to undo.
func TestPinWithoutUnpin(t *testing.T) {
	m := newLive(t, l1.Options{Bytes: 4 * unit})
	p, err := m.Pin("gpu0", func([]byte) (func() error, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	if s := m.Stats(); s.PinnedBytes != 4*unit {
		t.Errorf("%+v", s)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if s := m.Stats(); s.PinnedBytes != 0 || m.Memory().PinnedBytes != 0 {
		t.Errorf("after the device has gone: %+v", s)
	}
}

// locked is a writer for several goroutines.
type locked struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// Memory that somebody has pinned stays mapped.
func TestCloseWithPinnedMemory(t *testing.T) {
	leak.Check(t)
	m, err := l1.New(l1.Options{Bytes: 4 * unit})
	if err != nil {
		t.Fatal(err)
	}
	dev := newDevice(nil)
	dev.base = m.Memory().Base
	p, err := m.Pin("gpu0", dev.pin)
	if err != nil {
		t.Fatal(err)
	}
	var pinned *l1.PinnedError
	if err := m.Close(); !errors.As(err, &pinned) || pinned.Device != "gpu0" || pinned.Bytes != 4*unit {
		t.Errorf("close: %v", err)
	}
	if _, err := m.Pin("gpu1", dev.pin); !errors.Is(err, l1.ErrClosed) {
		t.Errorf("pin after close: %v", err)
	}
	if err := p.Close(); err != nil || dev.bytes() != 0 {
		t.Errorf("%d bytes pinned (%v)", dev.bytes(), err)
	}
	none, err := l1.New(l1.Options{Bytes: 4 * unit, NoBytes: true})
	if err != nil {
		t.Fatal(err)
	}
	if p, err = none.Pin("gpu0", dev.pin); err != nil || dev.calls() != 1 {
		t.Errorf("without bytes the device was asked %d times (%v)", dev.calls(), err)
	}
	if err := errors.Join(p.Close(), none.Close()); err != nil {
		t.Error(err)
	}
}

// Devices come and go, memory grows and the manager is closed at the same time:
// nothing is pinned twice, nothing that is pinned is unmapped, nothing stays.
func TestPinRaces(t *testing.T) {
	leak.Check(t)
	for range 8 {
		m, err := l1.New(l1.Faulty(l1.Options{Bytes: 40 * step, InitBytes: 3 * step}, step, nil))
		if err != nil {
			t.Fatal(err)
		}
		base := m.Memory().Base
		var all sync.WaitGroup
		for c := range 3 {
			all.Go(func() {
				for {
					dev := newDevice(func(off int64) bool { return off/step%4 == int64(c) })
					dev.base = base
					p, err := m.Pin("gpu", dev.pin)
					if err != nil {
						if !errors.Is(err, l1.ErrClosed) {
							t.Error(err)
						}
						return
					}
					pinned, unpinned := p.Bytes()
					if pinned+unpinned > 40*step || dev.calls() > 40 {
						t.Errorf("%d pinned, %d unpinned, %d calls", pinned, unpinned, dev.calls())
					}
					if err := p.Close(); err != nil || dev.bytes() != 0 {
						t.Errorf("%d bytes stay pinned (%v)", dev.bytes(), err)
					}
				}
			})
		}
		until(t, "growth", func() bool { return m.Stats().CommittedBytes == 40*step })
		if err := m.Close(); err != nil && !errors.As(err, new(*l1.PinnedError)) {
			t.Error(err)
		}
		all.Wait()
		if s := m.Stats(); s.PinnedBytes != 0 || s.UnpinnedBytes != 0 {
			t.Errorf("%+v", s)
		}
	}
}
