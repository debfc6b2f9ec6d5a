package fake

import "github.com/lmcache-go/lmcache/gpu"

// grid is how one block lies in one plane of one layer: rows of bytes that are
// contiguous both on the device and in an object, in steps on the device. What
// is contiguous on both sides is one row: a whole block, the heads of a slot, or
// one head of one slot.
type grid struct {
	run          int // bytes of a row
	slots, heads int // rows
	slot, head   int // bytes from one to the next on the device
}

// newGrid is the grid of a group's blocks.
func newGrid(g *gpu.Group, s *gpu.Strides) grid {
	size := int64(g.DType.Size())
	c := grid{
		run:   g.HeadSize * int(size),
		slots: g.SlotsPerBlock(), slot: int(s.Slot * size),
		heads: g.Heads, head: int(s.Head * size),
	}
	if c.heads == 1 || c.head == c.run {
		c.run *= c.heads
		c.heads = 1
		if c.slots == 1 || c.slot == c.run {
			c.run *= c.slots
			c.slots = 1
		}
	}
	return c
}

// whole reports whether a block is one row.
func (c *grid) whole() bool { return c.slots == 1 && c.heads == 1 }

// move copies one block between its place in an object and its place on the
// device, where dev begins. It goes through the destination in order.
func (c *grid) move(kind Kind, host, dev []byte) {
	if kind == Gather {
		for slot := range c.slots {
			from := dev[slot*c.slot:]
			for head := range c.heads {
				copy(host[:c.run], from[head*c.head:])
				host = host[c.run:]
			}
		}
		return
	}
	for head := range c.heads {
		for slot := range c.slots {
			to := dev[slot*c.slot+head*c.head:]
			copy(to, host[(slot*c.heads+head)*c.run:][:c.run])
		}
	}
}
