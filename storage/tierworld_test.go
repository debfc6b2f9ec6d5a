package storage_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// shelf is an adapter that keeps objects in memory, in format v1, and does what its
// hooks say. Hooks run without its mutex.
type shelf struct {
	mu      sync.Mutex
	objects map[kv.Key]stored
	calls   map[string]int // by operation
	moved   map[string]int // objects, by operation
	loads   map[kv.Key]int

	before func(ctx context.Context, op string, keys []kv.Key) error
	item   func(op string, it *l2.Item) // may set Err, or change what was loaded
	closed bool
	given  string // names of what was to be stored
}

type stored struct{ head, data []byte }

func newShelf() *shelf {
	return &shelf{objects: map[kv.Key]stored{}, calls: map[string]int{}, moved: map[string]int{}, loads: map[kv.Key]int{}}
}

func (s *shelf) enter(ctx context.Context, op string, keys []kv.Key) error {
	s.mu.Lock()
	s.calls[op]++
	s.moved[op] += len(keys)
	if op == "store" {
		s.given += named(keys)
	}
	s.mu.Unlock()
	if s.before != nil {
		return s.before(ctx, op, keys)
	}
	return nil
}

func itemKeys(items []l2.Item) (keys []kv.Key) {
	for i := range items {
		keys = append(keys, items[i].Key)
	}
	return keys
}

// Store keeps copies.
func (s *shelf) Store(ctx context.Context, items []l2.Item) error {
	if err := s.enter(ctx, "store", itemKeys(items)); err != nil {
		return err
	}
	for i := range items {
		it := &items[i]
		if s.item != nil {
			if s.item("store", it); it.Err != nil {
				continue
			}
		}
		s.mu.Lock()
		if _, ok := s.objects[it.Key]; !ok {
			s.objects[it.Key] = stored{bytes.Clone(it.Head), bytes.Clone(it.Data)}
			it.N = int64(len(it.Data))
		}
		s.mu.Unlock()
	}
	return nil
}

// Load copies.
func (s *shelf) Load(ctx context.Context, items []l2.Item) error {
	if err := s.enter(ctx, "load", itemKeys(items)); err != nil {
		return err
	}
	for i := range items {
		it := &items[i]
		s.mu.Lock()
		o, ok := s.objects[it.Key]
		s.loads[it.Key]++
		s.mu.Unlock()
		switch {
		case !ok:
			it.Err = fmt.Errorf("%w: %v", l2.ErrNotFound, it.Key)
			continue
		case len(o.head) != len(it.Head) || len(o.data) > len(it.Data):
			it.Err = fmt.Errorf("%w: it does not fit", l2.ErrCorrupt)
			continue
		}
		copy(it.Head, o.head)
		it.N = int64(copy(it.Data, o.data))
		if s.item != nil {
			s.item("load", it)
		}
	}
	return nil
}

// Lookup looks.
func (s *shelf) Lookup(ctx context.Context, keys []kv.Key, found []l2.Found) error {
	if err := s.enter(ctx, "lookup", keys); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, k := range keys {
		o, ok := s.objects[k]
		found[i] = l2.Found{OK: ok, Size: int64(len(o.head) + len(o.data))}
	}
	return nil
}

// Delete forgets.
func (s *shelf) Delete(ctx context.Context, keys []kv.Key, freed []int64) error {
	if err := s.enter(ctx, "delete", keys); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, k := range keys {
		o := s.objects[k]
		freed[i] = int64(len(o.head) + len(o.data))
		delete(s.objects, k)
	}
	return nil
}

// Close closes.
func (s *shelf) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// has is the names of what is kept.
func (s *shelf) has() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for k := range s.objects {
		names = append(names, named([]kv.Key{k}))
	}
	slices.Sort(names)
	all := ""
	for _, n := range names {
		all += n
	}
	return all
}

func (s *shelf) count(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// keep puts objects there that were written as put does.
func (s *shelf) keep(t *testing.T, layout kv.Layout, names string) {
	t.Helper()
	for _, k := range keys(names) {
		data := bytes.Repeat([]byte(named([]kv.Key{k}))[:1], int(layout.Size()))
		head := make([]byte, l2.Format{}.HeadLen(k, ""))
		h := l2.Header{Key: k, Fingerprint: layout.Fingerprint(), Sum: l2.XXH3.Sum(data), Payload: int64(len(data)), Created: time.Unix(1, 0)}
		if err := h.Put(head); err != nil {
			t.Fatal(err)
		}
		s.objects[k] = stored{head, data}
	}
}

// l1Bytes is an L1 for so many objects.
func l1Bytes(objects int64) l1.Options { return l1.Options{Bytes: objects * objectBytes} }

// withTiers adds tiers to a world. They take a millisecond for a call.
func withTiers(w *storage.VirtualOptions, shelves ...*shelf) func(*storage.Options) {
	return func(o *storage.Options) {
		for i, s := range shelves {
			o.Tiers = append(o.Tiers, storage.Tier{
				Name: fmt.Sprintf("shelf%d", i), Adapter: s, Settings: l2.Settings{Workers: 2, PerOpWorkers: 4, NoStartProbe: true},
			})
			w.Models = append(w.Models, storage.Model{Latency: time.Millisecond})
		}
	}
}

// newTierWorld is newWorld with tiers.
func newTierWorld(t *testing.T, objects int64, shelves []*shelf, change ...func(*storage.Options)) *world {
	t.Helper()
	v := storage.VirtualOptions{}
	return openWorld(t, objects, &v, append([]func(*storage.Options){withTiers(&v, shelves...)}, change...)...)
}

// wait waits for the result.
func (w *world) wait(p *storage.Prefetch) storage.PrefetchResult {
	w.t.Helper()
	r, err := p.Wait(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// flush waits until everything is stored.
func (w *world) flush() {
	w.t.Helper()
	if err := w.m.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// stores is the names of all objects that the tier was given, in order.
func (s *shelf) stores() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given
}

// lose takes an object away.
func (s *shelf) lose(k kv.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, k)
}
