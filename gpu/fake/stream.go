package fake

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
)

// Stream is an in-order queue of device work. Besides what gpu.Stream promises
// it runs kernels and single steps.
type Stream struct {
	dev      *Device
	id       int
	priority gpu.Priority
	busy     atomic.Bool // a verb is being called

	in struct { // what verbs have queued
		sync.Mutex
		work batch
		last *event // set by Close: the end of the stream
		idle bool   // the goroutine sleeps, or is about to, until wake
	}
	wake    chan struct{} // of capacity 1
	stopped chan struct{} // closed when the goroutine has ended; Real clock only

	run struct { // what runs work; its holder runs
		sync.Mutex
		work    batch
		next    int           // index in work.items
		time    time.Duration // device time in host terms, since the device's base
		anchors anchors
		last    time.Duration // time of the last event
		err     error         // of the work since the last Record
		pieces  []piece       // scratch
		checked *gpu.Group    // of the last copy: it is valid and was not freed
		stuck   bool          // held by a Fault
	}
}

func newStream(d *Device, id int, p gpu.Priority) *Stream {
	s := &Stream{dev: d, id: id, priority: p}
	s.run.time = d.now()
	s.renewLocked(s.run.time)
	if d.opts.Clock == Real {
		s.wake = make(chan struct{}, 1)
		s.stopped = make(chan struct{})
		go s.loop()
	}
	return s
}

// Priority is what the stream was opened with.
func (s *Stream) Priority() gpu.Priority { return s.priority }

// Number is the number of the stream in Work: streams of a device are numbered
// from 0 in order of opening.
func (s *Stream) Number() int { return s.id }

// Wait holds back later work until e is done. An event that is not of this
// device fails that work and is a violation.
func (s *Stream) Wait(e gpu.Event) {
	if e == nil {
		return
	}
	defer s.leave(s.enter("Wait"))
	it := item{kind: Wait}
	if own, ok := e.(*event); ok && own.dev == s.dev {
		it.event = own
		if det := s.dev.detector; det != nil {
			det.wait(s, own)
		}
	} else {
		s.dev.violate("stream %d waits for an event of type %T that this device has not recorded", s.id, e)
		it.err = errForeign
	}
	s.put(it, nil)
}

// Gather queues a copy from blocks to dst.
func (s *Stream) Gather(dst []byte, src *gpu.Paged, group int, blocks []gpu.BlockID) {
	defer s.leave(s.enter("Gather"))
	if det := s.dev.detector; det != nil {
		det.copies(s, Gather, dst, src, group, blocks)
	}
	s.put(item{kind: Gather, buf: dst, paged: src, group: group}, blocks)
}

// Scatter queues a copy from src to blocks.
func (s *Stream) Scatter(src []byte, dst *gpu.Paged, group int, blocks []gpu.BlockID) {
	defer s.leave(s.enter("Scatter"))
	if det := s.dev.detector; det != nil {
		det.copies(s, Scatter, src, dst, group, blocks)
	}
	s.put(item{kind: Scatter, buf: src, paged: dst, group: group}, blocks)
}

// Launch queues a stand-in for a kernel of the host: code that runs in the
// stream's order, takes cost of device time, and may read and write Block. It
// must not wait for the device. A nil kernel only takes time.
func (s *Stream) Launch(cost time.Duration, kernel func()) {
	defer s.leave(s.enter("Launch"))
	s.put(item{kind: Kernel, cost: cost, kernel: kernel}, nil)
}

// Record returns an event behind all that is queued.
func (s *Stream) Record() gpu.Event {
	defer s.leave(s.enter("Record"))
	e := &event{dev: s.dev}
	if det := s.dev.detector; det != nil {
		det.record(s, e)
	}
	if !s.put(item{kind: Record, event: e}, nil) {
		now := s.dev.now()
		e.finish(now, s.dev.base.Add(now), gpu.ErrClosed)
	}
	return e
}

// Close waits for queued work, under Pause and Hang until their end, and ends the
// stream.
func (s *Stream) Close() error {
	s.in.Lock()
	if s.in.last == nil {
		s.in.last = &event{dev: s.dev}
		s.in.work.add(item{kind: finish, event: s.in.last}, nil)
	}
	last := s.in.last
	s.in.idle = false
	s.in.Unlock()
	s.nudge()
	last.await()
	if s.stopped != nil {
		<-s.stopped
	}
	if det := s.dev.detector; det != nil {
		det.closed(s)
	}
	s.dev.forget(s)
	return nil
}

// enter begins a verb; it says whether the stream was free.
func (s *Stream) enter(verb string) bool {
	if s.busy.CompareAndSwap(false, true) {
		return true
	}
	s.dev.violate("%s while another goroutine uses stream %d", verb, s.id)
	return false
}

// leave ends a verb.
func (s *Stream) leave(entered bool) {
	if entered {
		s.busy.Store(false)
	}
}

// put queues an item with its blocks. It reports false, and a violation, after
// Close.
func (s *Stream) put(it item, blocks []gpu.BlockID) bool {
	if s.dev.opts.Clock == Virtual {
		it.queued = s.dev.now()
	}
	s.in.Lock()
	if s.in.last != nil {
		s.in.Unlock()
		s.dev.violate("%s on stream %d after close", it.kind, s.id)
		return false
	}
	s.in.work.add(it, blocks)
	idle := s.in.idle
	s.in.idle = false
	s.in.Unlock()
	if idle {
		s.nudge()
	}
	return true
}

// nudge wakes the stream's goroutine, if there is one.
func (s *Stream) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

var _ gpu.Stream = (*Stream)(nil)
