package workload

import (
	"sync"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
)

// tally is the subscriber that counts what only events tell.
type tally struct {
	mu struct {
		sync.Mutex
		misses  [len(storage.MissCounts{})]int64
		l2Hits  int64 // tokens
		dropped int64 // chunks
	}
}

// Name is the subscriber's name.
func (*tally) Name() string { return "workload" }

// Subscribe asks for the events.
func (t *tally) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(e lmcache.LookupEnded, _ time.Time) {
		t.mu.Lock()
		defer t.mu.Unlock()
		for reason, n := range e.Misses {
			t.mu.misses[reason] += int64(n)
		}
		t.mu.l2Hits += int64(e.L2HitTokens)
	})
	eventbus.On(s, func(e storage.AllocationFailed, _ time.Time) {
		if e.During != storage.DuringL1Store {
			return
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.mu.dropped += int64(len(e.Keys))
	})
}

// add completes a result.
func (t *tally) add(r *Result, chunkTokens int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.MissReasons = make(map[string]int64)
	for reason, n := range t.mu.misses {
		if n > 0 {
			r.MissReasons[storage.MissReason(reason).String()] = n
		}
	}
	r.L2HitChunks = t.mu.l2Hits / int64(chunkTokens)
	r.DroppedChunks = t.mu.dropped
}
