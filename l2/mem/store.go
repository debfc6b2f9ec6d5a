package mem

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Store is the memory behind adapters. The zero value is empty and ready.
type Store struct {
	mu struct {
		sync.Mutex
		objects map[kv.Key]entry
		held    int64 // stored bytes
		next    uint64
	}
}

// entry is one object. Its bytes do not change: another object takes its place.
type entry struct {
	bytes []byte // head and payload
	used  time.Time
	seq   uint64 // order of arrival, by which listings go
}

// get returns the bytes of an object.
func (s *Store) get(k kv.Key) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.mu.objects[k]
	return e.bytes, ok
}

// has returns the stored size of an object.
func (s *Store) has(k kv.Key) (int64, bool) {
	b, ok := s.get(k)
	return int64(len(b)), ok
}

// put adds an object if there is room below the capacity. Of the same size, what is
// there stays; of another one, it is replaced.
func (s *Store) put(k kv.Key, b []byte, capacity int64, at time.Time) (written, room bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.mu.objects[k]
	if ok && len(old.bytes) == len(b) {
		return false, true
	}
	held := s.mu.held - int64(len(old.bytes)) + int64(len(b))
	if held > capacity {
		return false, false
	}
	if s.mu.objects == nil {
		s.mu.objects = map[kv.Key]entry{}
	}
	s.mu.next++
	s.mu.objects[k] = entry{bytes: b, used: at, seq: s.mu.next}
	s.mu.held = held
	return true, true
}

// remove drops an object and returns what it took.
func (s *Store) remove(k kv.Key) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.mu.objects[k]
	if !ok {
		return 0
	}
	delete(s.mu.objects, k)
	s.mu.held -= int64(len(e.bytes))
	return int64(len(e.bytes))
}

// touch sets when an object was used.
func (s *Store) touch(k kv.Key, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.mu.objects[k]; ok {
		e.used = at
		s.mu.objects[k] = e
	}
}

// Held is how many bytes are stored, heads included.
func (s *Store) Held() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.held
}

// Len is how many objects are stored.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.objects)
}

// Corrupt flips one bit of a stored object, counted from the start of its head. It
// reports whether there is such a bit.
func (s *Store) Corrupt(k kv.Key, bit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.mu.objects[k]
	if !ok || bit < 0 || bit/8 >= len(e.bytes) {
		return false
	}
	b := slices.Clone(e.bytes) // a load may be copying the old ones
	b[bit/8] ^= 1 << (bit % 8)
	e.bytes = b
	s.mu.objects[k] = e
	return true
}

// Truncate cuts a stored object to n bytes, head included. It reports whether the
// object was longer.
func (s *Store) Truncate(k kv.Key, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.mu.objects[k]
	if !ok || n < 0 || n >= len(e.bytes) {
		return false
	}
	s.mu.held -= int64(len(e.bytes) - n)
	e.bytes = e.bytes[:n:n]
	s.mu.objects[k] = e
	return true
}

// listed is one object as a listing shows it.
type listed struct {
	key  kv.Key
	size int64
	used time.Time
	seq  uint64
}

// after lists the objects that arrived after seq, in that order, of one model or of
// all.
func (s *Store) after(seq uint64, model string) []listed {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []listed
	for k, e := range s.mu.objects {
		if e.seq > seq && (model == "" || k.Model == model) {
			all = append(all, listed{k, int64(len(e.bytes)), e.used, e.seq})
		}
	}
	slices.SortFunc(all, func(a, b listed) int { return cmp.Compare(a.seq, b.seq) })
	return all
}
