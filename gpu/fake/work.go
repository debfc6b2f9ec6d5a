package fake

import (
	"errors"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
)

var errForeign = errors.New("fake: wait for an event that this device has not recorded")

// ErrBounds is the error of a copy that does not fit: a group or block that does
// not exist, or a buffer of another size.
var ErrBounds = errors.New("fake: copy out of bounds")

// ErrFreed is the error of a copy from or to device memory that was freed.
var ErrFreed = errors.New("fake: device memory was freed")

// outcome is what has become of an attempt to run the next item.
type outcome uint8

const (
	ran     outcome = iota // it was run
	empty                  // there is none
	blocked                // it waits for an event
	held                   // the device or the stream hangs
	costing                // its time has not passed yet; Real clock only
)

// slack is how early work may end: less is not worth a timer.
const slack = 20 * time.Microsecond

// loop works off the queue until the stream is closed. Real clock only.
func (s *Stream) loop() {
	defer close(s.stopped)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		changed := s.dev.gate.changes()
		res, event, end := s.runAll()
		switch res {
		case blocked:
			<-event.reaches()
		case held:
			<-changed
		case costing:
			timer.Reset(end - s.dev.now())
			select {
			case <-timer.C:
			case <-changed:
			}
		default:
			if s.sleep() {
				return
			}
		}
	}
}

// sleep waits for more work; it reports true when there will be none.
func (s *Stream) sleep() (ended bool) {
	s.in.Lock()
	more, closed := len(s.in.work.items) > 0, s.in.last != nil
	s.in.idle = !more && !closed
	s.in.Unlock()
	if more {
		return false
	}
	if !closed {
		<-s.wake
		return false
	}
	s.run.Lock()
	defer s.run.Unlock()
	res, _ := s.headLocked()
	return res == empty
}

// runAll runs items until one cannot run. It returns why, and for what it waits.
func (s *Stream) runAll() (outcome, *event, time.Duration) {
	s.run.Lock()
	defer s.run.Unlock()
	for {
		if s.dev.gate.pausing() {
			return held, nil, 0
		}
		if res, it := s.runOneLocked(); res == empty {
			return empty, nil, 0
		} else if res != ran {
			return res, it.event, it.end
		}
	}
}

// step runs one item, for Step. It waits until the item's cost has passed.
func (s *Stream) step() bool {
	for {
		changed := s.dev.gate.changes()
		s.run.Lock()
		res, it := s.runOneLocked()
		var left time.Duration
		if res == costing {
			left = it.end - s.dev.now()
		}
		s.run.Unlock()
		if res != costing {
			return res == ran
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-changed:
			timer.Stop()
		}
	}
}

// ready reports whether the stream has an item that nothing holds back.
func (s *Stream) ready() bool {
	s.run.Lock()
	defer s.run.Unlock()
	res, _ := s.headLocked()
	return res == ran
}

// runOneLocked runs the next item if it may run now; else it says why not. An
// item that was run is gone when this returns.
func (s *Stream) runOneLocked() (outcome, *item) {
	res, it := s.headLocked()
	if res != ran {
		return res, it
	}
	if !it.begun {
		s.beginLocked(it)
	}
	if s.dev.opts.Clock == Real && it.end > it.start && it.end-s.dev.now() > slack && s.dev.broken() == nil {
		return costing, it
	}
	if !s.executeLocked(it) {
		s.run.stuck = true
		return held, it
	}
	s.run.next++
	return ran, it
}

// headLocked returns the next item and whether it may begin.
func (s *Stream) headLocked() (outcome, *item) {
	r := &s.run
	if r.next == len(r.work.items) {
		r.work.reset()
		r.next = 0
		s.in.Lock()
		r.work, s.in.work = s.in.work, r.work
		s.in.Unlock()
		if len(r.work.items) == 0 {
			return empty, nil
		}
	}
	it := &r.work.items[r.next]
	switch {
	case s.dev.broken() != nil:
		return ran, it // it fails
	case s.dev.gate.hanging(), r.stuck && !s.dev.gate.closing.Load():
		return held, it
	case it.kind == Wait && it.event != nil && !it.event.done.Load():
		return blocked, it
	}
	return ran, it
}

// beginLocked settles when the item starts and ends.
func (s *Stream) beginLocked(it *item) {
	it.begun = true
	cost := s.costLocked(it)
	start := s.run.time
	if it.kind == Wait && it.event != nil && it.event.done.Load() {
		start = max(start, it.event.t)
	}
	switch {
	case s.dev.opts.Clock == Virtual:
		start = max(start, it.queued)
	case cost > 0 || it.kind == Record || s.dev.opts.OnWork != nil:
		start = max(start, s.dev.now())
	}
	it.start, it.end = start, start+cost
}

// costLocked is the device time that the item takes.
func (s *Stream) costLocked(it *item) time.Duration {
	cost := s.dev.opts.Gather
	switch it.kind {
	case Kernel:
		return max(it.cost, 0)
	case Gather:
	case Scatter:
		cost = s.dev.opts.Scatter
	default:
		return 0
	}
	if cost.zero() || s.run.err != nil {
		return 0
	}
	return cost.of(s.movesLocked(it))
}

// movesLocked is the number of bytes that a copy moves.
func (s *Stream) movesLocked(it *item) int64 {
	blocks := s.run.work.blocks[it.first : it.first+it.blocks]
	moved := int64(0)
	for _, b := range blocks {
		if b != gpu.NoBlock {
			moved++
		}
	}
	if moved == 0 {
		return 0
	}
	return int64(len(it.buf)) / int64(len(blocks)) * moved
}

// executeLocked runs an item that has begun. It reports false if a Fault holds
// it: then it is to be tried again.
func (s *Stream) executeLocked(it *item) bool {
	r := &s.run
	d := s.dev
	r.time = max(r.time, it.end)
	if err := d.broken(); err != nil {
		r.err = err
	}
	var moved int64
	err := r.err // what the hook is told
	switch it.kind {
	case Gather, Scatter:
		if err != nil {
			d.counters.skipped.Add(1)
			break
		}
		var stuck bool
		if moved, stuck, err = s.copyLocked(it); stuck {
			return false
		}
		r.err = err
	case Kernel:
		if err == nil && it.kernel != nil {
			it.kernel()
		}
	case Wait:
		if it.err == nil && it.event != nil && it.event.done.Load() {
			it.err = it.event.err
		}
		if err == nil {
			err, r.err = it.err, it.err
		}
	case Record, finish:
		s.recordLocked(it)
	}
	if d.opts.Clock == Virtual {
		d.reach(r.time)
	}
	if hook := d.opts.OnWork; hook != nil && it.kind != finish {
		hook(Work{
			Stream: s.id, Kind: it.kind, Group: it.group, Blocks: it.blocks, Bytes: moved,
			Start: d.base.Add(it.start), End: d.base.Add(r.time), Err: err,
		})
	}
	return true
}

// recordLocked finishes an event with the time by the device's clock and with
// the errors since the last one.
func (s *Stream) recordLocked(it *item) {
	r := &s.run
	s.renewLocked(r.time)
	r.last = max(r.last, r.anchors.host(s.dev.clock.ticks(r.time)))
	err := r.err
	r.err = nil
	if it.kind == Record {
		s.dev.counters.records.Add(1)
	}
	it.event.finish(r.time, s.dev.base.Add(r.last), err)
}

// renewLocked takes a new pair of clock readings if one is due.
func (s *Stream) renewLocked(t time.Duration) {
	if a := &s.run.anchors; a.due(t) {
		a.renew(pair{host: t, ticks: s.dev.clock.ticks(t)})
	}
}
