package slab

import (
	"iter"
	"math/bits"
)

// Slab is a paged pool of records. Ids begin at 1; 0 means no record.
//
// Free does not clear a record and New does not either: the record is as its
// last user left it, and the zero value if it never had one, so that a
// generation counter in it survives. A user that wants a clean record assigns
// one.
type Slab[T any] struct {
	pages []*page[T]
	open  int // head of the list of pages with free records, index + 1
	n     int
}

const pageWords = pageLen / 64

// page holds records and which of them are in use.
type page[T any] struct {
	items [pageLen]T
	used  [pageWords]uint64
	room  uint16 // bit w: word w of used has a zero
	next  int    // of the pages with free records, index + 1
}

// New takes a record and returns its id. It allocates when all pages are full.
func (s *Slab[T]) New() uint32 {
	if s.open == 0 {
		s.grow()
	}
	p := s.pages[s.open-1]
	w := bits.TrailingZeros16(p.room)
	b := bits.TrailingZeros64(^p.used[w])
	id := uint32(s.open-1)<<pageBits | uint32(w)<<6 | uint32(b)
	p.used[w] |= 1 << b
	if p.used[w] == ^uint64(0) {
		if p.room &^= 1 << w; p.room == 0 {
			s.open = p.next
		}
	}
	s.n++
	return id
}

func (s *Slab[T]) grow() {
	p := &page[T]{room: 1<<pageWords - 1}
	if len(s.pages) == 0 {
		p.used[0] = 1 // id 0
	}
	s.pages = append(s.pages, p)
	s.open = len(s.pages)
}

// Free gives the record of id back. It panics if id is not in use.
func (s *Slab[T]) Free(id uint32) {
	if !s.Has(id) {
		panic("slab: free of an id that is not in use")
	}
	p := s.pages[id>>pageBits]
	w, b := id&pageMask>>6, id&63
	p.used[w] &^= 1 << b
	if p.room == 0 {
		p.next, s.open = s.open, int(id>>pageBits)+1
	}
	p.room |= 1 << w
	s.n--
}

// At returns the record of id. The pointer is good until the id is freed. It
// panics for an id beyond all that New has returned.
func (s *Slab[T]) At(id uint32) *T {
	return &s.pages[id>>pageBits].items[id&pageMask]
}

// Has reports whether id is in use.
func (s *Slab[T]) Has(id uint32) bool {
	p := int(id >> pageBits)
	return id != 0 && p < len(s.pages) && s.pages[p].used[id&pageMask>>6]&(1<<(id&63)) != 0
}

// Len is the number of records in use.
func (s *Slab[T]) Len() int { return s.n }

// All yields the records in use by ascending id. Records may be freed on the
// way; whether one that is made on the way is met is not said.
func (s *Slab[T]) All() iter.Seq2[uint32, *T] {
	return func(yield func(uint32, *T) bool) {
		for i := 0; i < len(s.pages); i++ {
			p := s.pages[i]
			for w := range p.used {
				for m := p.used[w]; m != 0; m &= m - 1 {
					b := bits.TrailingZeros64(m)
					if i == 0 && w == 0 && b == 0 || p.used[w]&(1<<b) == 0 {
						continue
					}
					if !yield(uint32(i<<pageBits|w<<6|b), &p.items[w<<6|b]) {
						return
					}
				}
			}
		}
	}
}
