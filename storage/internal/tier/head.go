package tier

import "sync"

// heads is memory for headers, whose address is a multiple of alignment where direct
// I/O needs it. It keeps a bounded number of those given back.
type heads struct {
	mu    sync.Mutex
	free  [][]byte
	bound int
}

// slabBytes is what headers are cut from. Allocations of this size begin at a page;
// an adapter that finds one that does not falls back to buffered I/O.
const slabBytes = 64 << 10

// take returns n bytes; nil for 0.
func (h *heads) take(n int) []byte {
	if n == 0 {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	k := len(h.free)
	if k > 0 && cap(h.free[k-1]) >= n {
		b := h.free[k-1]
		h.free = h.free[:k-1]
		return b[:n]
	}
	size := (n + alignment - 1) &^ (alignment - 1)
	if size*2 > slabBytes {
		return make([]byte, n, size)
	}
	for slab := make([]byte, slabBytes); len(slab) >= size; slab = slab[size:] {
		h.free = append(h.free, slab[:size:size])
	}
	k = len(h.free)
	b := h.free[k-1]
	h.free = h.free[:k-1]
	return b[:n]
}

func (h *heads) give(b []byte) {
	if b == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.free) < h.bound {
		h.free = append(h.free, b)
	}
}
