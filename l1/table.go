package l1

import "github.com/lmcache-go/lmcache/l1/internal/slab"

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
//
// Of a bucket that is not in the processor's cache, a search reads the line with
// the slot where it begins and nothing else: what there is to know of each bucket
// is kept apart.
type table struct {
	dir     []uint32 // 1 << depth buckets
	depth   uint
	buckets []bucket
	slots   slab.Table[slot] // bucketSlots for each of buckets
	n       int
}

type bucket struct {
	n     uint16
	depth uint8
}

type slot struct {
	tag uint32 // high half of the fingerprint: directory bits at the top, probe position at the bottom
	id  uint32 // 0: empty
}

func newTable() (t table) {
	t.dir = []uint32{t.addBucket(0)}
	return t
}

func (t *table) addBucket(depth uint8) uint32 {
	b := uint32(len(t.buckets))
	t.buckets = append(t.buckets, bucket{depth: depth})
	t.slots.Grow(b * bucketSlots)
	return b
}

func tagOf(fp uint64) uint32 { return uint32(fp >> 32) }

func (t *table) bucket(tag uint32) uint32 {
	return t.dir[uint64(tag)>>(32-t.depth)]
}

func (t *table) slotsOf(b uint32) *[bucketSlots]slot {
	return (*[bucketSlots]slot)(t.slots.Run(b*bucketSlots, bucketSlots))
}

// touch reads where the search for fp begins.
func (t *table) touch(fp uint64) uint32 {
	tag := tagOf(fp)
	return t.slotsOf(t.bucket(tag))[tag%bucketSlots].id
}

// cursor walks the ids whose tag equals that of one fingerprint.
type cursor struct {
	slots *[bucketSlots]slot
	tag   uint32
	pos   uint32
}

func (t *table) find(fp uint64) cursor {
	tag := tagOf(fp)
	return cursor{slots: t.slotsOf(t.bucket(tag)), tag: tag, pos: tag % bucketSlots}
}

// next is the next candidate, or 0.
func (c *cursor) next() uint32 {
	for {
		s := c.slots[c.pos%bucketSlots]
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
	for t.buckets[b].n >= bucketLimit && t.buckets[b].depth < maxDepth {
		t.split(tag)
		b = t.bucket(tag)
	}
	if t.buckets[b].n >= bucketSlots-1 {
		panic("l1: index bucket overflow: more than 500 equal fingerprints")
	}
	t.put(b, slot{tag, id})
	t.n++
}

func (t *table) put(b uint32, s slot) {
	slots := t.slotsOf(b)
	i := s.tag % bucketSlots
	for slots[i].id != 0 {
		i = (i + 1) % bucketSlots
	}
	slots[i] = s
	t.buckets[b].n++
}

// split moves half of the bucket of tag to a new one, doubling the directory if
// it must.
func (t *table) split(tag uint32) {
	lo := t.bucket(tag)
	depth := uint(t.buckets[lo].depth)
	if depth == t.depth {
		dir := make([]uint32, 2*len(t.dir))
		for i, b := range t.dir {
			dir[2*i], dir[2*i+1] = b, b
		}
		t.dir = dir
		t.depth++
	}
	slots := t.slotsOf(lo)
	old := *slots
	*slots = [bucketSlots]slot{}
	t.buckets[lo] = bucket{depth: uint8(depth + 1)}
	hi := t.addBucket(uint8(depth + 1))
	bit := uint32(1) << (31 - depth)
	for _, s := range &old {
		switch {
		case s.id == 0:
		case s.tag&bit == 0:
			t.put(lo, s)
		default:
			t.put(hi, s)
		}
	}
	// The directory entries of the old bucket are one aligned run.
	span := 1 << (t.depth - depth)
	first := int(uint64(tag)>>(32-t.depth)) &^ (span - 1)
	for i := span / 2; i < span; i++ {
		t.dir[first+i] = hi
	}
}

// remove takes id out; it must be there under fp.
func (t *table) remove(fp uint64, id uint32) {
	tag := tagOf(fp)
	b := t.bucket(tag)
	slots := t.slotsOf(b)
	i := tag % bucketSlots
	for slots[i].id != id {
		if slots[i].id == 0 {
			panic("l1: removed id is not in the index")
		}
		i = (i + 1) % bucketSlots
	}
	// Close the gap by moving back what may not stand behind it.
	for j := (i + 1) % bucketSlots; slots[j].id != 0; j = (j + 1) % bucketSlots {
		home := slots[j].tag % bucketSlots
		if (j-home)%bucketSlots >= (j-i)%bucketSlots {
			slots[i] = slots[j]
			i = j
		}
	}
	slots[i] = slot{}
	t.buckets[b].n--
	t.n--
}

// bytes is the memory of the table.
func (t *table) bytes() int64 {
	return int64(len(t.buckets))*(bucketSlots*8+4) + int64(len(t.dir))*4
}
