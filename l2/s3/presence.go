package s3

import (
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// presence remembers for a while which objects are in the bucket, and their size.
type presence struct {
	mu   sync.Mutex
	at   map[kv.Key]sighting
	next []kv.Key // in order of memory, to forget the oldest
}

type sighting struct {
	size  int64
	until time.Time
}

const (
	presenceTTL  = 60 * time.Second
	maxPresences = 1 << 16
)

func (p *presence) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.at)
}

// get is the size of an object that was seen.
func (p *presence) get(k kv.Key) (size int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.at[k]
	if ok && time.Now().After(s.until) {
		delete(p.at, k)
		return 0, false
	}
	return s.size, ok
}

func (p *presence) put(k kv.Key, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[kv.Key]sighting{}
	}
	if _, ok := p.at[k]; !ok {
		if len(p.next) >= maxPresences {
			delete(p.at, p.next[0])
			p.next = p.next[1:]
		}
		p.next = append(p.next, k)
	}
	p.at[k] = sighting{size, time.Now().Add(presenceTTL)}
}

func (p *presence) forget(k kv.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.at, k)
}
