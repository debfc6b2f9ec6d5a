package tier

import (
	"context"
	"fmt"
	"sync"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// model stands in for an adapter in virtual time: it keeps keys and sizes.
type model struct {
	mu    sync.Mutex
	sizes map[kv.Key]int64
}

func newModel() *model { return &model{sizes: make(map[kv.Key]int64)} }

// Format has no header.
func (m *model) Format() l2.Format { return l2.Format{Raw: true} }

// Store remembers the items, whose N is their size.
func (m *model) Store(_ context.Context, items []l2.Item) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range items {
		it := &items[i]
		if _, ok := m.sizes[it.Key]; ok {
			it.N = 0
			continue
		}
		if it.Data != nil {
			it.N = int64(len(it.Data))
		}
		m.sizes[it.Key] = it.N
	}
	return nil
}

// Load tells which items there are.
func (m *model) Load(_ context.Context, items []l2.Item) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range items {
		n, ok := m.sizes[items[i].Key]
		if !ok {
			items[i].Err = fmt.Errorf("%w: %v", l2.ErrNotFound, items[i].Key)
		}
		items[i].N = n
	}
	return nil
}

// Lookup tells which keys there are.
func (m *model) Lookup(_ context.Context, keys []kv.Key, found []l2.Found) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, k := range keys {
		n, ok := m.sizes[k]
		found[i] = l2.Found{OK: ok, Size: n}
	}
	return nil
}

// Delete forgets keys.
func (m *model) Delete(_ context.Context, keys []kv.Key, freed []int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, k := range keys {
		freed[i] = m.sizes[k]
		delete(m.sizes, k)
	}
	return nil
}

// Close does nothing.
func (m *model) Close() error { return nil }
