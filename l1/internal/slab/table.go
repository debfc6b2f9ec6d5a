package slab

import "unsafe"

// pageLen is the number of records in a page.
const pageLen = 1 << pageBits

const (
	pageBits = 10
	pageMask = pageLen - 1

	// groupBytes is the least that a table of that size allocates at a time, in one
	// piece: large enough for huge pages beneath it, and small enough to be cleared in
	// about a millisecond.
	groupBytes = 4 << 20
)

// Table is a paged array of records that start as their zero value. It grows
// with the ids it is asked for and never shrinks.
type Table[T any] struct {
	pages []*[pageLen]T
}

// Get returns the record of id, or nil if the table never grew that far.
func (t *Table[T]) Get(id uint32) *T {
	p := int(id >> pageBits)
	if p >= len(t.pages) || t.pages[p] == nil {
		return nil
	}
	return &t.pages[p][id&pageMask]
}

// At returns the record of an id for which Grow has been called before. It
// panics for an id of a page that does not exist.
func (t *Table[T]) At(id uint32) *T {
	return &t.pages[id>>pageBits][id&pageMask]
}

// Grow returns the record of id and allocates its page if there is none.
func (t *Table[T]) Grow(id uint32) *T {
	p := int(id >> pageBits)
	if p >= len(t.pages) || t.pages[p] == nil {
		t.addPage(p)
	}
	return &t.pages[p][id&pageMask]
}

// addPage allocates page p, or the group of pages that it belongs to.
func (t *Table[T]) addPage(p int) {
	first, n := p, groupPages[T]()
	if p < n {
		n = 1
	} else {
		first = p &^ (n - 1)
	}
	for first+n > len(t.pages) {
		t.pages = append(t.pages, nil)
	}
	group := make([][pageLen]T, n)
	for i := range group {
		t.pages[first+i] = &group[i]
	}
	if first >= 2*n && t.pages[first-n] != nil {
		advise(t.pages[first-n], n)
	}
}

// groupPages is how many pages a group has: a power of two.
func groupPages[T any]() int {
	var page [pageLen]T
	size, n := int(unsafe.Sizeof(page)), 1
	for size > 0 && n*size < groupBytes {
		n *= 2
	}
	return n
}

// Run returns n consecutive records from id on, all of one page.
func (t *Table[T]) Run(id uint32, n int) []T {
	return t.pages[id>>pageBits][id&pageMask:][:n:n]
}
