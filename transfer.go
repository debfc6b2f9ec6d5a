package lmcache

import (
	"context"
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
		at      time.Time
		err     error
		tokens  int
		chunks  int
		bytes   int64
		success bool
	}
}

func newTransfer() *Transfer { return &Transfer{done: make(chan struct{})} }

// finished is a transfer that had nothing to copy.
func finished(at time.Time, tokens int, success bool) *Transfer {
	t := newTransfer()
	t.mu.tokens, t.mu.success, t.mu.at = tokens, success, at
	close(t.done)
	return t
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
// ctx ends and returns the context's error.
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

// Tokens is, once the transfer is done, the number of tokens of its range that
// are backed by the cache: 0 for a retrieve that missed.
func (t *Transfer) Tokens() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.tokens
}

// Chunks is, once the transfer is done, the number of chunks that it copied.
func (t *Transfer) Chunks() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.chunks
}

// Bytes is, once the transfer is done, the number of bytes that it copied.
func (t *Transfer) Bytes() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.bytes
}

// Success is, once the transfer is done: for a retrieve, whether all of its range
// was delivered; for a store, whether every chunk of its range is in the cache,
// being written by another, or was left out on purpose (null blocks).
func (t *Transfer) Success() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.success
}

// deviceEvent is what a stream can wait for in place of e: a transfer is unwrapped
// to the event of its last copy, so that two transfers cannot wait in a circle.
func deviceEvent(e gpu.Event) gpu.Event {
	if t, ok := e.(*Transfer); ok {
		if t == nil || t.device == nil {
			return nil
		}
		return t.device
	}
	return e
}
