package fs

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Times of use are written when this many keys wait, or the first of them has waited
// this long. A process that is killed loses them.
const (
	touchKeys  = 4096
	touchDelay = 10 * time.Second
)

// touches are times of use that are not written yet.
type touches struct {
	s       *Store
	dropped atomic.Int64
	mu      struct {
		sync.Mutex
		waiting map[kv.Key]time.Time
		timer   *time.Timer // nil: nothing waits
		writing bool
	}
}

func (t *touches) init(s *Store) { t.s = s }

// Touch notes that keys were used. The times of modification of their files follow
// within seconds; they are the order of use that Scan tells after a restart. More
// than 4096 keys that wait while others are being written are dropped.
func (s *Store) Touch(_ context.Context, keys []kv.Key, at time.Time) {
	if s.gate.Enter() != nil {
		return
	}
	defer s.gate.Leave()
	s.touches.add(keys, at)
}

func (t *touches) add(keys []kv.Key, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.waiting == nil {
		t.mu.waiting = map[kv.Key]time.Time{}
	}
	for _, key := range keys {
		if old, known := t.mu.waiting[key]; known {
			if at.After(old) {
				t.mu.waiting[key] = at
			}
			continue
		}
		if len(t.mu.waiting) >= touchKeys && !t.startLocked() {
			t.dropped.Add(1)
			continue
		}
		t.mu.waiting[key] = at
	}
	if t.mu.timer == nil && len(t.mu.waiting) > 0 {
		t.mu.timer = time.AfterFunc(touchDelay, t.due)
	}
}

// due runs when the first key has waited long enough.
func (t *touches) due() {
	if t.s.gate.Enter() != nil {
		return // Close writes them
	}
	defer t.s.gate.Leave()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.timer = nil
	if !t.startLocked() {
		t.mu.timer = time.AfterFunc(touchDelay, t.due)
	}
}

// startLocked begins to write what waits, unless that is being done already.
func (t *touches) startLocked() bool {
	if t.mu.writing {
		return false
	}
	batch := t.mu.waiting
	t.mu.waiting = make(map[kv.Key]time.Time, len(batch))
	t.mu.writing = true
	t.s.background.Go(func() {
		t.write(batch)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.mu.writing = false
	})
	return true
}

func (t *touches) write(batch map[kv.Key]time.Time) {
	for key, at := range batch {
		if _, path, err := t.s.place(key); err == nil {
			_ = t.s.sys.SetTime(path, at) // it may be gone, and only the order suffers
		}
	}
}

// close writes what waits. Nothing else runs any more.
func (t *touches) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.timer != nil {
		t.mu.timer.Stop()
		t.mu.timer = nil
	}
	t.write(t.mu.waiting)
	t.mu.waiting = nil
}
