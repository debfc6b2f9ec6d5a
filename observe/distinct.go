package observe

// distinct tells the different ones among the chunks of one event. Its table is
// used again without being cleared: what is of an earlier turn is not there.
type distinct struct {
	slots []distinctSlot // a power of two, at least twice what one turn adds
	turn  uint32
}

type distinctSlot struct {
	turn uint32
	id   chunkID
}

// begin starts a turn of at most n chunks.
func (d *distinct) begin(n int) {
	d.turn++
	if size := len(d.slots); size < 2*n || d.turn == 0 {
		size = max(size, 64)
		for size < 2*n {
			size *= 2
		}
		d.slots, d.turn = make([]distinctSlot, size), 1
	}
}

// add reports whether id, which has the hash h, is the first of its kind in this turn.
func (d *distinct) add(id *chunkID, h uint64) bool {
	mask := uint64(len(d.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := &d.slots[i]
		if s.turn != d.turn {
			s.turn, s.id = d.turn, *id
			return true
		}
		if s.id == *id {
			return false
		}
	}
}
