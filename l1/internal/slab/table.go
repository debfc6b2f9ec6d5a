package slab

// pageLen is the number of records in a page.
const pageLen = 1 << pageBits

const (
	pageBits = 10
	pageMask = pageLen - 1
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
	for p >= len(t.pages) {
		t.pages = append(t.pages, nil)
	}
	if t.pages[p] == nil {
		t.pages[p] = new([pageLen]T)
	}
	return &t.pages[p][id&pageMask]
}
