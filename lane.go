package lmcache

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
)

// lane is one stream of a worker and the goroutine that settles what the stream
// has completed, in order. A verb holds mu while it appends to the stream, so that
// work and its completion are queued in one order; it never waits for the device.
type lane struct {
	stream gpu.Stream
	mu     sync.Mutex    // order of verbs; use of the stream
	staged []batch       // of the verb that runs; needs mu
	ids    []gpu.BlockID // of the copy that is queued; needs mu

	closing bool // the last event is recorded; needs mu

	queue struct {
		sync.Mutex
		cond   *sync.Cond
		items  []batch
		closed bool
	}
	began atomic.Int64 // when it began to settle a batch, in nanoseconds since base; 0: it does not
	base  time.Time
	ctx   context.Context    //nolint:containedctx // of waiting for the device, over the life of the lane
	stop  context.CancelFunc // gives it up
	gone  chan struct{}      // the goroutine has ended
	lost  bool               // the device was given up; set before gone is closed
}

// batch is a point of the stream: when it is reached, a part of a job is done.
type batch struct {
	job   job
	event gpu.Event
	hi    int // positions below are done with it
	last  bool
}

// job is what hangs on batches. Its methods run on the lane's goroutine, without
// a lock.
type job interface {
	// reached settles the positions below hi, which the device has passed, or
	// failed with err.
	reached(hi int, err error)
	// ended settles the rest after the last batch and announces the end. The
	// device passed the batch at a time, zero if it told none. A lost device may
	// still be at it: then nothing goes back that it may write to.
	ended(at time.Time, lost bool)
}

func newLane(ctx context.Context, b gpu.Backend, p gpu.Priority) (*lane, error) {
	s, err := b.NewStream(p)
	if err != nil {
		return nil, err
	}
	l := &lane{stream: s, base: time.Now(), gone: make(chan struct{})}
	l.queue.cond = sync.NewCond(&l.queue)
	l.ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	go l.run()
	return l, nil
}

// record ends a batch of the verb that runs; it needs mu. The batches are settled
// from flush on.
func (l *lane) record(j job, hi int, last bool) gpu.Event {
	e := l.stream.Record()
	l.staged = append(l.staged, batch{job: j, event: e, hi: hi, last: last})
	return e
}

// flush hands the batches of a verb over to the lane's goroutine; it needs mu.
func (l *lane) flush() {
	l.queue.Lock()
	defer l.queue.Unlock()
	l.queue.items = append(l.queue.items, l.staged...)
	l.queue.cond.Signal()
	clear(l.staged)
	l.staged = l.staged[:0]
}

// pop waits for the next batches, all that there are, and leaves buf for further
// ones. None means that the lane is closed.
func (l *lane) pop(buf []batch) []batch {
	l.queue.Lock()
	defer l.queue.Unlock()
	for len(l.queue.items) == 0 && !l.queue.closed {
		l.queue.cond.Wait()
	}
	items := l.queue.items
	l.queue.items = buf[:0]
	return items
}

func (l *lane) run() {
	defer close(l.gone)
	var buf []batch
	for {
		items := l.pop(buf)
		if len(items) == 0 {
			return
		}
		for i := range items {
			l.settle(&items[i])
		}
		clear(items)
		buf = items
	}
}

func (l *lane) settle(b *batch) {
	_ = b.event.Wait(l.ctx) // whichever ends it, the event knows
	l.began.Store(max(int64(time.Since(l.base)), 1))
	defer l.began.Store(0)
	at, done, err := b.event.Done()
	if !done {
		at, err, l.lost = time.Time{}, errLost, true
	}
	b.job.reached(b.hi, err)
	if b.last {
		b.job.ended(at, !done)
	}
}

// stalled is for how long it has been settling what the device is done with. How
// long the device takes, and what the host lets it wait for, is not its business.
func (l *lane) stalled() time.Duration {
	began := l.began.Load()
	if began == 0 {
		return 0
	}
	return max(time.Since(l.base)-time.Duration(began), 0)
}

// errLost is the error of transfers whose device was given up.
var errLost = fmt.Errorf("%w before the device was done", ErrClosed)

// close waits until everything queued is settled, or ctx ends; then it stops
// waiting for the device. The stream is closed if the device was not given up: its
// Close waits for the device too, and knows no deadline, so a last event tells
// beforehand whether the device still answers. It may be called again.
func (l *lane) close(ctx context.Context) error {
	l.mu.Lock()
	if !l.closing {
		l.closing = true
		l.record(farewell{}, 0, true)
		l.flush()
	}
	l.mu.Unlock()
	l.queue.Lock()
	l.queue.closed = true
	l.queue.cond.Signal()
	l.queue.Unlock()
	select {
	case <-l.gone:
	case <-ctx.Done():
		l.stop()
		<-l.gone
	}
	l.stop()
	if l.lost {
		return errLost
	}
	return l.stream.Close()
}

// farewell is the job of the last event.
type farewell struct{}

func (farewell) reached(int, error) {}

func (farewell) ended(time.Time, bool) {}

// probe asks, behind all that is queued, whether the device still works: then an
// event without work does not fail. It runs on the lane's goroutine and does not
// wait: what is queued meanwhile may depend on what its caller still has to settle.
func (l *lane) probe(w *Worker, err error) {
	w.e.log.Error("device error during a transfer", slog.String("device", w.device), slog.Any("error", err))
	if w.failed.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.record(&probe{w: w}, 0, true)
	l.flush()
}

// probe is the job that asks.
type probe struct{ w *Worker }

func (p *probe) reached(_ int, err error) {
	if err != nil && !p.w.failed.Swap(true) {
		p.w.e.log.Error("the device has failed for good; its worker takes no more", slog.String("device", p.w.device), slog.Any("error", err))
	}
}

func (*probe) ended(time.Time, bool) {}
