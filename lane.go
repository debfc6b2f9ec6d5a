package lmcache

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
)

// lane is one stream of a worker and the goroutine that settles what the stream
// has completed, in order. A verb holds mu while it appends to the stream, so that
// work and its completion are queued in one order; it never waits for the device.
type lane struct {
	stream gpu.Stream
	mu     sync.Mutex // order of verbs; use of the stream

	queue struct {
		sync.Mutex
		cond   *sync.Cond
		items  []batch
		closed bool
	}
	ctx  context.Context    //nolint:containedctx // of waiting for the device, over the life of the lane
	stop context.CancelFunc // gives it up
	gone chan struct{}      // the goroutine has ended
}

// batch is a point of the stream: when it is reached, a part of a job is done.
type batch struct {
	job   job
	event gpu.Event
	hi    int // positions below are done with it
	last  bool
}

// job is a transfer as its lane sees it. Its methods run on the lane's goroutine.
type job interface {
	// reached settles the positions below hi, which the device has passed at a
	// time, or failed with err.
	reached(hi int, at time.Time, err error)
	// ended settles the rest after the last batch, and announces the end.
	ended(at time.Time)
}

func newLane(ctx context.Context, b gpu.Backend, p gpu.Priority) (*lane, error) {
	s, err := b.NewStream(p)
	if err != nil {
		return nil, err
	}
	l := &lane{stream: s, gone: make(chan struct{})}
	l.queue.cond = sync.NewCond(&l.queue)
	l.ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	go l.run()
	return l, nil
}

// push queues a batch; it needs mu.
func (l *lane) push(b batch) {
	l.queue.Lock()
	defer l.queue.Unlock()
	l.queue.items = append(l.queue.items, b)
	l.queue.cond.Signal()
}

// pop waits for the next batches, all that there are, and takes them into buf.
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
			b := &items[i]
			err := b.event.Wait(l.ctx)
			at, done, _ := b.event.Done()
			if !done { // given up: the device never said that it is done
				at = time.Time{}
			}
			b.job.reached(b.hi, at, err)
			if b.last {
				b.job.ended(at)
			}
		}
		clear(items)
		buf = items
	}
}

// close waits until everything queued is settled, or ctx ends; then it stops
// waiting for the device. The stream is closed afterwards.
func (l *lane) close(ctx context.Context) error {
	l.queue.Lock()
	l.queue.closed = true
	l.queue.cond.Signal()
	l.queue.Unlock()
	select {
	case <-l.gone:
	case <-ctx.Done():
		l.stop()
		<-l.gone
		return ctx.Err() // the stream may never end: its device has to
	}
	l.stop()
	return l.stream.Close()
}

// failure is the error of an event that has been passed. A stream reports a failed
// wait with the first event behind it, which may be one that only tells the time.
func failure(e gpu.Event) error {
	if e == nil {
		return nil
	}
	_, _, err := e.Done()
	return err
}

// check asks, after an error, whether the device is lost: then even an event
// without work fails, and the worker takes no more. It runs on the lane's goroutine.
func (l *lane) check(w *Worker, err error) {
	if err == nil || w.failed.Load() {
		return
	}
	l.mu.Lock()
	probe := l.stream.Record()
	l.mu.Unlock()
	sticky := probe.Wait(l.ctx) != nil
	w.failed.Store(sticky)
	w.e.log.Error("device error during a transfer",
		slog.String("device", w.device), slog.Any("error", err), slog.Bool("worker_failed", sticky))
}
