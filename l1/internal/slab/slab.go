package slab

import (
	"iter"
	"math/bits"
)

// Slab is a paged pool of records. Ids begin at 1; 0 means no record. The id that
// was freed last is the next to be handed out, since its record is the likeliest
// to be in the processor's cache.
//
// Free does not clear a record and New does not either: the record is as its
// last user left it, and the zero value if it never had one, so that a
// generation counter in it survives. A user that wants a clean record assigns
// one.
type Slab[T any] struct {
	records Table[T]
	used    []uint64      // a bit for each id
	last    uint32        // the highest id handed out so far
	freed   Table[uint32] // stack of free ids, its first nfreed records
	nfreed  uint32
}

// New takes a record and returns its id. It allocates when all pages are full.
func (s *Slab[T]) New() uint32 {
	var id uint32
	if s.nfreed > 0 {
		s.nfreed--
		id = *s.freed.At(s.nfreed)
	} else {
		s.last++
		id = s.last
		s.records.Grow(id)
		for int(id>>6) >= len(s.used) {
			s.used = append(s.used, 0)
		}
	}
	s.used[id>>6] |= 1 << (id & 63)
	return id
}

// Next is the id that New will return after i other calls of it, or 0 if that has
// never been in use.
func (s *Slab[T]) Next(i int) uint32 {
	if uint32(i) >= s.nfreed {
		return 0
	}
	return *s.freed.At(s.nfreed - 1 - uint32(i))
}

// Free gives the record of id back. It panics if id is not in use.
func (s *Slab[T]) Free(id uint32) {
	if !s.Has(id) {
		panic("slab: free of an id that is not in use")
	}
	s.used[id>>6] &^= 1 << (id & 63)
	*s.freed.Grow(s.nfreed) = id
	s.nfreed++
}

// At returns the record of id. The pointer is good until the id is freed. It
// panics for an id beyond all that New has returned.
func (s *Slab[T]) At(id uint32) *T { return s.records.At(id) }

// Has reports whether id is in use.
func (s *Slab[T]) Has(id uint32) bool {
	w := int(id >> 6)
	return w < len(s.used) && s.used[w]&(1<<(id&63)) != 0
}

// Len is the number of records in use.
func (s *Slab[T]) Len() int { return int(s.last - s.nfreed) }

// All yields the records in use by ascending id. Records may be freed on the
// way; whether one that is made on the way is met is not said.
func (s *Slab[T]) All() iter.Seq2[uint32, *T] {
	return func(yield func(uint32, *T) bool) {
		for w := 0; w < len(s.used); w++ {
			for m := s.used[w]; m != 0; m &= m - 1 {
				id := uint32(w<<6 | bits.TrailingZeros64(m))
				if s.Has(id) && !yield(id, s.At(id)) {
					return
				}
			}
		}
	}
}
