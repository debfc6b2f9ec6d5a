package lmcache

import (
	"sync"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// keyLists are lists of keys to be built for a call that copies them. The zero
// value is empty; it is safe for concurrent use.
type keyLists struct{ pool sync.Pool }

// maxKeyList is the capacity up to which a list is kept.
const maxKeyList = 1 << 14

// take returns an empty list with room for n keys.
func (p *keyLists) take(n int) *[]kv.Key {
	l, ok := p.pool.Get().(*[]kv.Key)
	if !ok {
		l = new([]kv.Key)
	}
	if cap(*l) < n {
		*l = make([]kv.Key, 0, n)
	}
	*l = (*l)[:0]
	return l
}

// give puts a list back.
func (p *keyLists) give(l *[]kv.Key) {
	if cap(*l) <= maxKeyList {
		p.pool.Put(l)
	}
}
