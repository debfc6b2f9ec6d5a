package l1bench

import (
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// What the same work costs without a cache around it. Nothing here calls the code
// that is measured.

// plainMap is what finds and replaces objects with no more than it takes: a map of
// keys under a mutex, and the order in which they came.
type plainMap struct {
	mu    sync.Mutex
	at    map[kv.Key]int
	order []kv.Key
	next  int
}

func newPlainMap(capacity int) *plainMap {
	return &plainMap{at: make(map[kv.Key]int, capacity), order: make([]kv.Key, capacity)}
}

// replace puts keys in and takes the oldest out for them.
func (m *plainMap) replace(keys []kv.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		delete(m.at, m.order[m.next])
		m.order[m.next] = k
		m.at[k] = m.next
		m.next = (m.next + 1) % len(m.order)
	}
}

// find counts the keys that are there.
func (m *plainMap) find(keys []kv.Key) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		if _, ok := m.at[k]; ok {
			n++
		}
	}
	return n
}

// plainQueue takes records with a time stamp, under a mutex, and is emptied when it
// is full.
type plainQueue struct {
	mu    sync.Mutex
	items []plainRecord
}

type plainRecord struct {
	at   time.Time
	keys []kv.Key
}

func (q *plainQueue) push(keys []kv.Key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == cap(q.items) {
		q.items = q.items[:0]
	}
	q.items = append(q.items, plainRecord{time.Now(), keys})
}

// pieces are equal parts of one range of memory, used in turn.
type pieces struct {
	mem  []byte
	size int
	next int
}

func (p *pieces) take() []byte {
	if p.next+p.size > len(p.mem) {
		p.next = 0
	}
	b := p.mem[p.next : p.next+p.size]
	p.next += p.size
	return b
}
