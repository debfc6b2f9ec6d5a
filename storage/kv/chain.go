package kv

import "sync/atomic"

// Chain is what has been hashed of one prompt: its full chunks of tokens and
// their hashes. It is an immutable value that goroutines may share: Extend makes
// a new Chain and leaves c as it is, although both may use the same memory. The
// zero Chain is empty.
//
// An owner that keeps one Chain under a lock reads it, extends it without the
// lock, and puts the result back if the kept one does not contain it:
//
//	next := kept.Extend(h, chunk, tokens)
//	if !kept.HasPrefix(next) { // kept may have changed meanwhile
//		kept = next
//	}
type Chain struct {
	m *chainMem
	n int // chunks
}

// chainMem is the memory of one or more chains. Chunks below used belong to the
// chains that have them and never change; who raises used from n, of which only
// one can succeed, writes the chunks behind n.
type chainMem struct {
	seed   Hash    // of the Hasher: tells other algorithms apart
	chunk  int     // tokens per chunk
	tokens []int32 // chunk for each of hashes
	hashes []Hash
	used   atomic.Int64 // chunks
}

// Extend is the Chain of the full chunks of tokens, chunk tokens each, hashed
// with h. It hashes from the first chunk that differs from c, all of them if c
// came from another algorithm, seed or chunk size, and none if c has them all:
// then nothing is allocated either. The caller's slice is not kept; a ragged
// tail takes no part. A chunk size below 1 has no full chunks.
func (c Chain) Extend(h Hasher, chunk int, tokens []int32) Chain {
	if chunk < 1 || len(tokens) < chunk {
		return Chain{}
	}
	want := len(tokens) / chunk
	seed := h.Seed()
	keep := 0
	if c.m != nil && c.m.chunk == chunk && c.m.seed == seed {
		n := min(want, c.n)
		keep = commonPrefix(c.m.tokens[:n*chunk], tokens[:n*chunk]) / chunk
	}
	if keep == want {
		return Chain{c.m, keep}
	}
	more := tokens[keep*chunk : want*chunk]
	m := c.m
	if keep == 0 || want > len(m.hashes) || !m.used.CompareAndSwap(int64(keep), int64(want)) {
		m = c.moved(keep, want, chunk, seed, tokens)
	} else {
		copy(m.tokens[keep*chunk:], more)
	}
	prev := seed
	if keep > 0 {
		prev = m.hashes[keep-1]
	}
	// The hasher writes in place; the copy only moves what one that grew the
	// slice against its contract put elsewhere.
	copy(m.hashes[keep:want], h.AppendChain(m.hashes[keep:keep:want], prev, more, chunk))
	return Chain{m, want}
}

// moved is new memory with room for want chunks, in use, and in it the tokens of
// these and the first keep hashes of c. A chain that has grown once gets a quarter
// more room, so that growing costs a bounded number of copies per chunk.
func (c Chain) moved(keep, want, chunk int, seed Hash, tokens []int32) *chainMem {
	m := &chainMem{seed: seed, chunk: chunk}
	m.used.Store(int64(want))
	tokens = tokens[:want*chunk]
	if keep == 0 {
		m.hashes = make([]Hash, want)
		m.tokens = append([]int32(nil), tokens...) // which does not clear the memory first
		return m
	}
	room := want + want/4
	m.hashes = make([]Hash, room)
	copy(m.hashes, c.m.hashes[:keep])
	m.tokens = make([]int32, room*chunk)
	copy(m.tokens, tokens)
	return m
}

// Len is the number of chunks.
func (c Chain) Len() int { return c.n }

// ChunkTokens is the number of tokens per chunk; 0 for an empty Chain.
func (c Chain) ChunkTokens() int {
	if c.m == nil {
		return 0
	}
	return c.m.chunk
}

// Hashes are the hashes of the chunks in order. The slice never changes; the
// caller must not write to it.
func (c Chain) Hashes() []Hash {
	if c.m == nil {
		return nil
	}
	return c.m.hashes[:c.n:c.n]
}

// Tokens are the tokens of the chunks, Len × ChunkTokens of them. The slice
// never changes; the caller must not write to it.
func (c Chain) Tokens() []int32 {
	if c.m == nil {
		return nil
	}
	n := c.n * c.m.chunk
	return c.m.tokens[:n:n]
}

// HasPrefix reports whether c begins with all chunks of p, as a chain does with
// itself and with the empty one. It takes constant time, since a hash covers
// all that is before it.
func (c Chain) HasPrefix(p Chain) bool {
	if p.n == 0 {
		return true
	}
	return p.n <= c.n && p.m.chunk == c.m.chunk && p.m.hashes[p.n-1] == c.m.hashes[p.n-1]
}

// Bytes is the memory that the chain keeps alive: 4 per token and 32 per chunk,
// room for growth and what it shares with longer chains included.
func (c Chain) Bytes() int64 {
	if c.m == nil {
		return 0
	}
	return 4*int64(len(c.m.tokens)) + MaxHashLen*int64(len(c.m.hashes))
}

// commonPrefix is the number of leading tokens that a and b, of equal length,
// have in common. Comparing arrays compares memory, which takes 12 µs for
// 131072 tokens; element by element, as slices.Equal does it, takes 80 µs.
func commonPrefix(a, b []int32) int {
	const block = 1024
	n := 0
	for len(a)-n >= block && *(*[block]int32)(a[n:]) == *(*[block]int32)(b[n:]) {
		n += block
	}
	for n < len(a) && a[n] == b[n] {
		n++
	}
	return n
}
