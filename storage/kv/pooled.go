package kv

import "sync"

// pooled hashes with digesters that are used again: they are large, and a Hasher
// may be used by many goroutines.
type pooled struct{ pool *sync.Pool } // of digester

func newPooled(fresh func() digester) pooled {
	return pooled{&sync.Pool{New: func() any { return fresh() }}}
}

// Next is the hash of one chunk behind prev.
func (p pooled) Next(prev Hash, tokens []int32) Hash {
	d := p.pool.Get().(digester)
	out := d.digest(prev, tokens)
	p.pool.Put(d)
	return out
}

// AppendChain appends the hashes of the full chunks of tokens behind prev.
func (p pooled) AppendChain(dst []Hash, prev Hash, tokens []int32, chunk int) []Hash {
	d := p.pool.Get().(digester)
	dst = appendChain(d, dst, prev, tokens, chunk)
	p.pool.Put(d)
	return dst
}
