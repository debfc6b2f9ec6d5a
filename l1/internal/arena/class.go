package arena

import (
	"cmp"
	"slices"
)

const (
	classBuckets    = 1 << classBucketBits
	classBucketBits = 8
)

// class is what objects of one size have in common. It exists while it has runs.
type class struct {
	units   uint32
	chain   uint32 // next class of the bucket
	partial uint32 // first run with free slots, the latest to have one
	runs    uint32
	slots   int64
	live    int64 // slots in use
}

// bucket is where the class of a size is listed: Fibonacci hashing (Knuth, The
// Art of Computer Programming, volume 3, 6.4).
func (a *Arena) bucket(units uint32) *uint32 {
	return &a.buckets[units*0x9E3779B9>>(32-classBucketBits)]
}

// findClass is the class of a size, or 0.
func (a *Arena) findClass(units uint32) uint32 {
	id := *a.bucket(units)
	for id != 0 {
		c := a.classes.At(id)
		if c.units == units {
			break
		}
		id = c.chain
	}
	return id
}

func (a *Arena) addClass(units uint32) uint32 {
	b := a.bucket(units)
	id := a.classes.New()
	*a.classes.At(id) = class{units: units, chain: *b}
	*b = id
	return id
}

func (a *Arena) dropClass(id uint32) {
	c := a.classes.At(id)
	link := a.bucket(c.units)
	for *link != id {
		link = &a.classes.At(*link).chain
	}
	*link = c.chain
	a.classes.Free(id)
}

// push lists a run as the first one with free slots.
func (c *class) push(a *Arena, id uint32, r *run) {
	r.prev, r.next = 0, c.partial
	if c.partial != 0 {
		a.runs.At(c.partial).prev = id
	}
	c.partial = id
}

// cut takes a run out of the list of those with free slots.
func (c *class) cut(a *Arena, r *run) {
	if r.prev != 0 {
		a.runs.At(r.prev).next = r.next
	} else {
		c.partial = r.next
	}
	if r.next != 0 {
		a.runs.At(r.next).prev = r.prev
	}
	r.prev, r.next = 0, 0
}

// SizeClass says what the objects of one size take.
type SizeClass struct {
	Size int64 // bytes of an object, a multiple of the alignment
	Runs int   // ranges of memory that hold such objects only
	Used int   // objects handed out
	Free int   // further objects that fit into those ranges
}

// SizeClasses lists the sizes of which there are objects, ascending.
func (a *Arena) SizeClasses() []SizeClass {
	out := make([]SizeClass, 0, a.classes.Len())
	for _, c := range a.classes.All() {
		out = append(out, SizeClass{
			Size: int64(c.units) << a.shift, Runs: int(c.runs), Used: int(c.live), Free: int(c.slots - c.live),
		})
	}
	slices.SortFunc(out, func(x, y SizeClass) int { return cmp.Compare(x.Size, y.Size) })
	return out
}
