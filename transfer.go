package lmcache

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
)

// Transfer is a store or a retrieve that runs on a worker's device. It is a
// gpu.Event, reached when the copies are done and their leases are settled: then
// a store's objects can be found, and a retrieve's blocks can be used. It can be
// given as the event to wait for to other transfers, of any worker of the same
// device. Its methods are safe for concurrent use.
type Transfer struct {
	done   chan struct{}
	device gpu.Event // of the last copy; nil: no device work
	mu     struct {
		sync.Mutex
		at  time.Time
		err error
		outcome
	}
}

// outcome is what a transfer did.
type outcome struct {
	tokens  int
	chunks  int
	bytes   int64
	success bool
}

func newTransfer() *Transfer { return &Transfer{done: make(chan struct{})} }

// finished is a transfer that had nothing to do.
func finished(at time.Time, tokens int) *Transfer {
	t := newTransfer()
	t.finish(at, nil, outcome{tokens: tokens, success: true})
	return t
}

// finish makes the transfer done, once.
func (t *Transfer) finish(at time.Time, err error, o outcome) {
	t.mu.Lock()
	t.mu.at, t.mu.err, t.mu.outcome = at, err, o
	t.mu.Unlock()
	close(t.done)
}

func (t *Transfer) outcome() outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.outcome
}

// Done reports whether the transfer is done, when the device was done with it, and
// the device's error.
func (t *Transfer) Done() (at time.Time, done bool, err error) {
	select {
	case <-t.done:
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.mu.at, true, t.mu.err
	default:
		return time.Time{}, false, nil
	}
}

// Wait blocks until the transfer is done and returns the device's error, or until
// ctx ends and returns the context's error. A transfer that is done wins.
func (t *Transfer) Wait(ctx context.Context) error {
	select {
	case <-t.done:
		return t.Err()
	default:
	}
	select {
	case <-t.done:
		return t.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Err is the device's error, once the transfer is done. A retrieve that failed
// leaves the destination blocks undefined.
func (t *Transfer) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.err
}

// Tokens is, once the transfer is done, the number of leading tokens of its range
// that are backed by the cache. For a retrieve they are in the blocks now, all of
// the match's or 0; for a store they are in the cache, or another is writing them.
func (t *Transfer) Tokens() int { return t.outcome().tokens }

// Chunks is, once the transfer is done, the number of chunks that it copied.
func (t *Transfer) Chunks() int { return t.outcome().chunks }

// Bytes is, once the transfer is done, the number of bytes that it copied.
func (t *Transfer) Bytes() int64 { return t.outcome().bytes }

// Success is, once the transfer is done: for a retrieve, whether all of its range
// was delivered; for a store, whether every chunk of its range is in the cache,
// being written by another, or was left out on purpose (null blocks).
func (t *Transfer) Success() bool { return t.outcome().success }

// deviceEvent is what a stream can wait for in place of e: a transfer is unwrapped
// to the event of its last copy, so that two transfers cannot wait in a circle.
// Nil is no wait.
func deviceEvent(e gpu.Event) gpu.Event {
	if t, ok := e.(*Transfer); ok {
		if t == nil {
			return nil
		}
		return t.device
	}
	return e
}

// transferJob is what stores and retrieves have in common.
type transferJob struct {
	w     *Worker
	s     *Session
	t     *Transfer
	at    time.Time // of the call
	op    string    // in events; empty: nobody listened at the call
	start gpu.Event // reached when the copies may begin; nil: nobody wants to know
	err   error     // of the device, the first one
	alarm alarm     // renews the lease
}

// number counts the transfer. Its name is built for events only.
func (j *transferJob) number(listening bool) {
	if n := j.w.e.ops.Add(1); listening {
		j.op = j.s.r.ID + "#" + strconv.FormatInt(n, 10)
	}
}

// began is when the device reached the copies; false: it did not, or nobody asked.
func (j *transferJob) began() (at time.Time, ok bool) {
	if j.start == nil {
		return time.Time{}, false
	}
	at, ok, _ = j.start.Done()
	return at, ok && !at.IsZero()
}
