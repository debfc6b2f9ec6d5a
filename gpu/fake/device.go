package fake

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
)

// Device is a device in host memory. All its methods are safe for concurrent
// use, unless they say otherwise.
type Device struct {
	opts   Options
	name   string
	base   time.Time // host time that all times of the device count from
	clock  ticker
	latest atomic.Int64 // device time of the latest work, in host ns since base

	gate       gate
	faults     faults
	sick       atomic.Pointer[error] // sticky error
	counters   counters
	pins       pins
	violations violations
	detector   *detector // nil unless Options.Detect

	sched struct {
		sync.Mutex
		rng      *rand.Rand
		runnable []*Stream
	}

	mu struct {
		sync.Mutex
		streams []*Stream // open, in order of opening
		opened  int
		tensors map[*tensor]struct{}
		used    int64 // bytes of device memory
		closing bool
	}
	closeOnce sync.Once
	closeErr  error
}

// New makes a device. Its owner must Close it.
func New(o Options) *Device {
	d := &Device{
		opts:  o,
		name:  "fake:" + strconv.Itoa(o.Index),
		clock: ticker{offset: int64(o.ClockOffset), rate: o.ClockDrift * 1e-6},
	}
	switch {
	case o.Now != nil:
		d.base = o.Now()
	case o.Clock == Virtual:
		d.base = epoch
	default:
		d.base = time.Now()
	}
	if o.Detect {
		d.detector = newDetector(d)
	}
	d.sched.rng = rand.New(rand.NewPCG(o.Seed, 0))
	d.mu.tensors = map[*tensor]struct{}{}
	return d
}

// Device is "fake:" and Options.Index.
func (d *Device) Device() string { return d.name }

// now is the host's time since the device's base.
func (d *Device) now() time.Duration {
	switch {
	case d.opts.Now != nil:
		return d.opts.Now().Sub(d.base)
	case d.opts.Clock == Virtual:
		return time.Duration(d.latest.Load())
	}
	return time.Since(d.base)
}

// reach moves the device's latest time forward.
func (d *Device) reach(t time.Duration) {
	for {
		old := d.latest.Load()
		if int64(t) <= old || d.latest.CompareAndSwap(old, int64(t)) {
			return
		}
	}
}

// NewStream opens a Stream; see OpenStream.
func (d *Device) NewStream(p gpu.Priority) (gpu.Stream, error) {
	s, err := d.OpenStream(p)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// OpenStream is NewStream with the concrete type, for tests that queue kernels
// or step a stream. The priority is kept and changes nothing: callers must not
// rely on it.
func (d *Device) OpenStream(p gpu.Priority) (*Stream, error) {
	if err := d.admit(Open); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.closing {
		return nil, gpu.ErrClosed
	}
	s := newStream(d, d.mu.opened, p)
	d.mu.opened++
	d.mu.streams = append(d.mu.streams, s)
	return s, nil
}

// admit says whether a service other than a copy is refused, by a fault or because
// the device is broken.
func (d *Device) admit(k Kind) error {
	if f, ok := d.faults.strike(k); ok {
		if f.Sticky {
			d.fail(f.failure(k))
		}
		return f.failure(k)
	}
	return d.broken()
}

// forget takes a closed stream off the list.
func (d *Device) forget(s *Stream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, o := range d.mu.streams {
		if o == s {
			d.mu.streams = append(d.mu.streams[:i], d.mu.streams[i+1:]...)
			return
		}
	}
}

// streams returns the open streams in order of opening, appended to buf.
func (d *Device) streams(buf []*Stream) []*Stream {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append(buf, d.mu.streams...)
}

func (d *Device) closed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.closing
}

// broken is the sticky error of the device.
func (d *Device) broken() error {
	if err := d.sick.Load(); err != nil {
		return *err
	}
	return nil
}

// fail makes err the sticky error of the device, unless it has one.
func (d *Device) fail(err error) {
	d.sick.CompareAndSwap(nil, &err)
	d.gate.notify()
}

// Lose makes the device fail for good: all work that is queued or comes later
// fails with ErrLost, also what is held by Hang or a Fault.
func (d *Device) Lose() { d.fail(fmt.Errorf("%s: %w", d.name, ErrLost)) }

// Close ends Pause and Hang, closes the streams that are open, which runs their
// queued work, then poisons and frees all device memory. A region that is still
// pinned is a violation. It is idempotent.
func (d *Device) Close() error {
	d.closeOnce.Do(func() {
		d.mu.Lock()
		d.mu.closing = true
		d.mu.Unlock()
		d.gate.closing.Store(true)
		d.gate.notify()
		var errs []error
		for _, s := range d.streams(nil) {
			errs = append(errs, s.Close())
		}
		d.mu.Lock()
		for t := range d.mu.tensors {
			t.free()
		}
		clear(d.mu.tensors)
		d.mu.used = 0
		d.mu.Unlock()
		if n := d.pins.bytes(); n > 0 {
			d.violate("closed with %d bytes of host memory pinned", n)
		}
		d.closeErr = errors.Join(errs...)
	})
	return d.closeErr
}

var _ gpu.Backend = (*Device)(nil)
