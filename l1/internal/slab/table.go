package slab

// pageLen is the number of records in a page.
const pageLen = 1 << pageBits

const (
	pageBits = 10
	pageMask = pageLen - 1

	// groupLen is how many pages are allocated at a time, in one piece, by a table
	// that has as many already: large enough for huge pages beneath it, and small
	// enough to be cleared in a fraction of a millisecond.
	groupLen = 32
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
	first, n := p, 1
	if p >= groupLen {
		first, n = p&^(groupLen-1), groupLen
	}
	for first+n > len(t.pages) {
		t.pages = append(t.pages, nil)
	}
	if n == 1 {
		t.pages[p] = new([pageLen]T)
		return
	}
	group := new([groupLen][pageLen]T)
	advise(group)
	for i := range group {
		t.pages[first+i] = &group[i]
	}
}

// Run returns n consecutive records from id on, all of one page.
func (t *Table[T]) Run(id uint32, n int) []T {
	return t.pages[id>>pageBits][id&pageMask:][:n:n]
}
