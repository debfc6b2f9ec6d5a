package l1

const (
	bucketSlots = 512
	bucketLimit = 320 // entries before a split: short probes, and about 17 bytes per entry on average
	maxDepth    = 22  // tag bits that the directory may use: 4 M buckets, over 10^9 entries
)

// table maps 64-bit fingerprints to ids by extendible hashing: a directory of
// small open-addressing buckets, of which only one is split at a time, so that
// no insertion ever pays for the growth of the whole table. It keeps 32 bits of
// each fingerprint and no keys; the caller compares what an id stands for. It
// depends on nothing random. Several ids may have one fingerprint.
type table struct {
	dir   []*bucket // 1 << depth
	depth uint
	n     int
}

type bucket struct {
	depth uint
	n     int
	slots [bucketSlots]slot
}

type slot struct {
	tag uint32 // high half of the fingerprint: directory bits at the top, probe position at the bottom
	id  uint32 // 0: empty
}

func newTable() table { return table{dir: []*bucket{new(bucket)}} }

func tagOf(fp uint64) uint32 { return uint32(fp >> 32) }

func (t *table) bucket(tag uint32) *bucket {
	return t.dir[uint64(tag)>>(32-t.depth)]
}

// touch reads where the search for fp begins.
func (t *table) touch(fp uint64) uint32 {
	tag := tagOf(fp)
	return t.bucket(tag).slots[tag%bucketSlots].id
}

// cursor walks the ids whose tag equals that of one fingerprint.
type cursor struct {
	b   *bucket
	tag uint32
	pos uint32
}

func (t *table) find(fp uint64) cursor {
	tag := tagOf(fp)
	return cursor{b: t.bucket(tag), tag: tag, pos: tag % bucketSlots}
}

// next is the next candidate, or 0.
func (c *cursor) next() uint32 {
	for {
		s := c.b.slots[c.pos%bucketSlots]
		if s.id == 0 {
			return 0
		}
		c.pos = (c.pos + 1) % bucketSlots
		if s.tag == c.tag {
			return s.id
		}
	}
}

// insert adds id under fp.
func (t *table) insert(fp uint64, id uint32) {
	tag := tagOf(fp)
	b := t.bucket(tag)
	for b.n >= bucketLimit && b.depth < maxDepth {
		t.split(tag)
		b = t.bucket(tag)
	}
	if b.n >= bucketSlots-1 {
		panic("l1: index bucket overflow: more than 500 equal fingerprints")
	}
	b.insert(slot{tag, id})
	t.n++
}

func (b *bucket) insert(s slot) {
	i := s.tag % bucketSlots
	for b.slots[i].id != 0 {
		i = (i + 1) % bucketSlots
	}
	b.slots[i] = s
	b.n++
}

// split replaces the bucket of tag by two, doubling the directory if it must.
func (t *table) split(tag uint32) {
	old := t.bucket(tag)
	if old.depth == t.depth {
		dir := make([]*bucket, 2*len(t.dir))
		for i, b := range t.dir {
			dir[2*i], dir[2*i+1] = b, b
		}
		t.dir = dir
		t.depth++
	}
	lo, hi := &bucket{depth: old.depth + 1}, &bucket{depth: old.depth + 1}
	bit := uint32(1) << (31 - old.depth)
	for _, s := range &old.slots {
		switch {
		case s.id == 0:
		case s.tag&bit == 0:
			lo.insert(s)
		default:
			hi.insert(s)
		}
	}
	// The directory entries of the old bucket are one aligned run.
	span := 1 << (t.depth - old.depth)
	first := int(uint64(tag)>>(32-t.depth)) &^ (span - 1)
	for i := range span / 2 {
		t.dir[first+i] = lo
		t.dir[first+span/2+i] = hi
	}
}

// remove takes id out; it must be there under fp.
func (t *table) remove(fp uint64, id uint32) {
	tag := tagOf(fp)
	b := t.bucket(tag)
	i := tag % bucketSlots
	for b.slots[i].id != id {
		if b.slots[i].id == 0 {
			panic("l1: removed id is not in the index")
		}
		i = (i + 1) % bucketSlots
	}
	// Close the gap by moving back what may not stand behind it.
	for j := (i + 1) % bucketSlots; b.slots[j].id != 0; j = (j + 1) % bucketSlots {
		home := b.slots[j].tag % bucketSlots
		if (j-home)%bucketSlots >= (j-i)%bucketSlots {
			b.slots[i] = b.slots[j]
			i = j
		}
	}
	b.slots[i] = slot{}
	b.n--
	t.n--
}

// bytes is the memory of the table.
func (t *table) bytes() int64 {
	seen := int64(1)
	for i := 1; i < len(t.dir); i++ {
		if t.dir[i] != t.dir[i-1] {
			seen++
		}
	}
	return seen*(bucketSlots*8+16) + int64(len(t.dir))*8
}
