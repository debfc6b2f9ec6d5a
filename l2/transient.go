package l2

import (
	"context"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// cleanTimeout bounds the removal of objects when a transient adapter closes.
const cleanTimeout = 30 * time.Second

// transient removes what was stored through it when it closes.
type transient struct {
	inner Adapter
	clean func(keys []kv.Key) // removes them from the store, within a bounded time
	calls sync.WaitGroup      // grows under mu while not closed
	once  sync.Once
	err   error // of the close
	mu    struct {
		sync.Mutex
		closed bool
		ours   map[kv.Key]struct{}
	}
}

// Transient is an adapter whose objects, those that were stored through it, are
// removed from the store when it closes. It keeps their keys in memory. Only the values of
// ctx are used.
func Transient(ctx context.Context, a Adapter) Adapter {
	t := &transient{inner: a}
	t.mu.ours = map[kv.Key]struct{}{}
	t.clean = func(keys []kv.Key) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
		defer cancel()
		_ = a.Delete(ctx, keys, make([]int64, len(keys))) // what cannot be removed stays behind, as after a crash
	}
	return t
}

// Unwrap implements [Wrapper].
func (t *transient) Unwrap() Adapter { return t.inner }

// enter begins a call, which ends with calls.Done.
func (t *transient) enter() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return ErrClosed
	}
	t.calls.Add(1)
	return nil
}

// Store implements [Adapter].
func (t *transient) Store(ctx context.Context, items []Item) error {
	if err := t.enter(); err != nil {
		return err
	}
	defer t.calls.Done()
	err := t.inner.Store(ctx, items)
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range items {
		// What failed may be there nevertheless; what was there already is not ours.
		if err != nil || items[i].Err != nil || items[i].N > 0 {
			t.mu.ours[items[i].Key] = struct{}{}
		}
	}
	return err
}

// Load implements [Adapter].
func (t *transient) Load(ctx context.Context, items []Item) error {
	if err := t.enter(); err != nil {
		return err
	}
	defer t.calls.Done()
	return t.inner.Load(ctx, items)
}

// Lookup implements [Adapter].
func (t *transient) Lookup(ctx context.Context, keys []kv.Key, found []Found) error {
	if err := t.enter(); err != nil {
		return err
	}
	defer t.calls.Done()
	return t.inner.Lookup(ctx, keys, found)
}

// Delete implements [Adapter].
func (t *transient) Delete(ctx context.Context, keys []kv.Key, freed []int64) error {
	if err := t.enter(); err != nil {
		return err
	}
	defer t.calls.Done()
	err := t.inner.Delete(ctx, keys, freed)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, k := range keys {
		if freed[i] >= 0 {
			delete(t.mu.ours, k)
		}
	}
	return nil
}

// Close implements [Adapter].
func (t *transient) Close() error {
	t.mu.Lock()
	t.mu.closed = true
	t.mu.Unlock()
	t.once.Do(func() {
		t.calls.Wait()
		t.mu.Lock()
		keys := make([]kv.Key, 0, len(t.mu.ours))
		for k := range t.mu.ours {
			keys = append(keys, k)
		}
		t.mu.Unlock()
		if len(keys) > 0 {
			t.clean(keys)
		}
		t.err = t.inner.Close()
	})
	return t.err
}
