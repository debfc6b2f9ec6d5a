package tier

import (
	"context"
	"fmt"
	"sync"

	"github.com/lmcache-go/lmcache/l2"
)

// scratch is memory for what a serde converts, and none of L1's: one piece for each
// conversion that may run, of the size of the largest object. A call has its piece
// while it converts an object and while it moves it; so that many objects of a tier
// are on their way, and no other tier waits for them.
//
// The piece of a call that is given up is the call's until it returns. Another one
// takes its place, for as many calls as there are pieces: twice their number is the
// most that there ever is.
type scratch struct {
	free chan []byte
	mu   struct {
		sync.Mutex
		held map[*transfer][]byte
		lost map[*transfer]bool // given up, and replaced
	}
}

func newScratch(n int) *scratch {
	s := &scratch{free: make(chan []byte, n)}
	s.mu.held, s.mu.lost = make(map[*transfer][]byte), make(map[*transfer]bool)
	for range n {
		s.free <- nil
	}
	return s
}

// take waits for a piece. That none comes says nothing about the store.
func (s *scratch) take(ctx context.Context, x *transfer) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: the call ended before the conversion: %w", l2.ErrThrottled, err)
	}
	select {
	case b := <-s.free:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mu.held[x] = b
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: other conversions took all the time: %w", l2.ErrThrottled, ctx.Err())
	}
}

// sized is the piece of x with n bytes.
func (s *scratch) sized(x *transfer, n int64) (b []byte, err error) {
	s.mu.Lock()
	b = s.mu.held[x]
	s.mu.Unlock()
	if int64(cap(b)) >= n {
		return b[:n], nil
	}
	err = guarded(func() error {
		b = aligned(n)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w: memory for %d bytes: %w", l2.ErrSerde, errBound, n, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.held[x] = b
	return b, nil
}

// give ends take.
func (s *scratch) give(x *transfer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.mu.held[x]
	delete(s.mu.held, x)
	if s.mu.lost[x] {
		delete(s.mu.lost, x)
		return
	}
	s.free <- b[:0]
}

// giveUp replaces the piece of a call that is given up.
func (s *scratch) giveUp(x *transfer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, held := s.mu.held[x]; held && !s.mu.lost[x] && len(s.mu.lost) < cap(s.free) {
		s.mu.lost[x] = true
		s.free <- nil
	}
}
