package fs

import "fmt"

// headers is memory for headers that direct I/O can use: it lies on pages, which
// that of a caller need not.
type headers struct {
	mem  []byte
	free chan []byte
}

// headerSlots is how many files may be read or written at a time with direct I/O;
// as many as a tier has slots at most. The memory is used when it is needed.
const headerSlots = 256

func newHeaders() (*headers, error) {
	mem, err := aligned(headerSlots * align)
	if err != nil {
		return nil, fmt.Errorf("l2/fs: memory for headers: %w", err)
	}
	h := &headers{mem: mem, free: make(chan []byte, headerSlots)}
	for i := range headerSlots {
		h.free <- mem[i*align : (i+1)*align : (i+1)*align]
	}
	return h, nil
}

func (h *headers) take() []byte     { return <-h.free }
func (h *headers) give(head []byte) { h.free <- head }

func (h *headers) close() {
	// What cannot be unmapped stays: nobody could do anything about it.
	_ = freeAligned(h.mem)
}

// fits reports whether a file of size bytes, header included, can be moved from and
// to this memory in multiples of the block size.
func (s *Store) fits(head, data []byte, size int64) bool {
	if size%align != 0 || int64(len(head)+cap(data)) < size {
		return false
	}
	return len(head) == 0 || len(head) == align
}

// fallback notes that one file is moved through the page cache although direct I/O
// is on.
func (s *Store) fallback(reason string) {
	s.counts.fallbacks.Add(1)
	s.refusal.Store(&reason)
	if !s.told.refused.Swap(true) {
		s.o.Logger.Warn("l2/fs: files go through the page cache although direct I/O is on; later ones are only counted", "base_path", s.base, "reason", reason)
	}
}

// whyNot says why a file does not fit.
func whyNot(size int64) string {
	if size%align != 0 {
		return fmt.Sprintf("%d bytes are not a multiple of %d", size, align)
	}
	return fmt.Sprintf("a buffer cannot take a file of %d bytes", size)
}
