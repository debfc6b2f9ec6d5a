package fs

import (
	"hash/maphash"
	"sync"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// index remembers which objects are there, and their sizes. It may be wrong in both
// directions: two keys may share a fingerprint (of 64 bits, with a seed of this
// process), and other processes write and delete. The file system decides.
type index struct {
	seed   maphash.Seed
	shards [64]struct {
		mu    sync.RWMutex
		sizes map[uint64]int64
	}
}

func newIndex() *index {
	x := &index{seed: maphash.MakeSeed()}
	for i := range x.shards {
		x.shards[i].sizes = map[uint64]int64{}
	}
	return x
}

func (x *index) get(key kv.Key) (size int64, ok bool) {
	h := maphash.Comparable(x.seed, key)
	s := &x.shards[h%uint64(len(x.shards))]
	s.mu.RLock()
	defer s.mu.RUnlock()
	size, ok = s.sizes[h]
	return size, ok
}

func (x *index) put(key kv.Key, size int64) {
	h := maphash.Comparable(x.seed, key)
	s := &x.shards[h%uint64(len(x.shards))]
	s.mu.RLock()
	old, ok := s.sizes[h]
	s.mu.RUnlock()
	if ok && old == size {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes[h] = size
}

func (x *index) drop(key kv.Key) {
	h := maphash.Comparable(x.seed, key)
	s := &x.shards[h%uint64(len(x.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sizes, h)
}

func (x *index) len() int {
	n := 0
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.RLock()
		n += len(s.sizes)
		s.mu.RUnlock()
	}
	return n
}
