package fake

import (
	"fmt"

	"github.com/lmcache-go/lmcache/gpu"
)

// piece is a run of blocks whose ids follow each other, so that in each plane of
// each layer one copy moves them all.
type piece struct {
	first  int         // place in the list of blocks
	block  gpu.BlockID // id of the first; NoBlock: nothing to copy
	blocks int
}

// appendPieces cuts a list of blocks into pieces. merge says that blocks whose
// ids follow each other lie side by side in memory.
func appendPieces(dst []piece, blocks []gpu.BlockID, merge bool) []piece {
	for i, b := range blocks {
		if n := len(dst); n > 0 && i > 0 {
			last := &dst[n-1]
			follows := merge && b != gpu.NoBlock && last.block != gpu.NoBlock && int(b) == int(last.block)+last.blocks
			if follows || b == gpu.NoBlock && last.block == gpu.NoBlock {
				last.blocks++
				continue
			}
		}
		dst = append(dst, piece{first: i, block: b, blocks: 1})
	}
	return dst
}

// copyLocked runs a Gather or Scatter and returns the bytes moved. stuck says
// that a Fault holds it.
func (s *Stream) copyLocked(it *item) (moved int64, stuck bool, err error) {
	d := s.dev
	var fault Fault
	struck := false
	if !it.passed {
		fault, struck = d.faults.strike(it.kind)
	}
	if struck && fault.Effect == Stick {
		if !d.gate.closing.Load() {
			it.passed = true
			return 0, true, nil
		}
		struck = false
	}
	blocks := s.run.work.blocks[it.first : it.first+it.blocks]
	if err := s.checkLocked(it, blocks); err != nil {
		d.violate("stream %d: %s: %v", s.id, it.kind, err)
		d.counters.failed.Add(1)
		return 0, false, err
	}
	if struck && (fault.Effect == Refuse || fault.Effect == Tear) {
		if fault.Effect == Tear {
			moved = s.moveLocked(it, blocks, &fault)
		}
		err := fault.failure(it.kind)
		if fault.Sticky {
			d.fail(err)
		}
		d.counters.failed.Add(1)
		return moved, false, err
	}
	if struck {
		moved = s.moveLocked(it, blocks, &fault)
	} else {
		moved = s.moveLocked(it, blocks, nil)
	}
	if it.kind == Gather {
		d.counters.gathers.Add(1)
		d.counters.gatherBytes.Add(moved)
	} else {
		d.counters.scatters.Add(1)
		d.counters.scatterBytes.Add(moved)
	}
	return moved, false, nil
}

// checkLocked says what is wrong with a copy.
func (s *Stream) checkLocked(it *item, blocks []gpu.BlockID) error {
	if it.paged == nil || it.group < 0 || it.group >= len(it.paged.Groups) {
		return fmt.Errorf("%w: group %d does not exist", ErrBounds, it.group)
	}
	g := &it.paged.Groups[it.group]
	if s.run.checked != g {
		if err := s.dev.check(g); err != nil {
			return err
		}
		s.run.checked = g
	}
	if n := g.Bytes(len(blocks)); int64(len(it.buf)) != n {
		return fmt.Errorf("%w: buffer of %d bytes for %d blocks, which have %d", ErrBounds, len(it.buf), len(blocks), n)
	}
	for _, b := range blocks {
		if b != gpu.NoBlock && (b < 0 || int(b) >= g.Blocks) {
			return fmt.Errorf("%w: block %d of %d", ErrBounds, b, g.Blocks)
		}
	}
	return nil
}

// check says what is wrong with a group whose blocks are to be copied.
func (d *Device) check(g *gpu.Group) error {
	for _, l := range g.Layers {
		t, ok := l.(*tensor)
		switch {
		case !ok || t.dev != d:
			return fmt.Errorf("%w: memory of another device", ErrBounds)
		case t.data == nil:
			return ErrFreed
		}
	}
	if err := g.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrBounds, err)
	}
	return nil
}

// moveLocked copies, as the fault wants it, and returns the bytes moved.
func (s *Stream) moveLocked(it *item, blocks []gpu.BlockID, fault *Fault) int64 {
	g := &it.paged.Groups[it.group]
	strides := g.Strides()
	size := int64(g.DType.Size())
	block := g.BlockBytes()
	planes, layers := g.Planes(), g.LayerCount()
	row := block * int64(len(blocks)) // one plane of one layer in the buffer
	lie := newGrid(g, &strides)
	pieces := appendPieces(s.run.pieces[:0], blocks, lie.whole() && strides.Block*size == block)
	s.run.pieces = pieces

	left := planes * layers * len(pieces)
	if fault != nil && fault.Effect == Tear {
		left /= 2
	}
	var moved int64
	buf := it.buf
	for plane := range planes {
		from := plane
		if fault != nil && fault.Effect == Swap {
			from = planes - 1 - plane
		}
		for layer := range layers {
			flat := buf[:row:row]
			buf = buf[row:]
			mem := g.Layers[strides.Tensor(from, layer)].(*tensor).data
			base := strides.Element(from, layer, 0, 0, 0, 0) * size
			for _, p := range pieces {
				if left == 0 {
					return moved
				}
				left--
				n := int64(p.blocks) * block
				host := flat[int64(p.first)*block:][:n]
				if p.block == gpu.NoBlock {
					if it.kind == Gather {
						clear(host)
					}
					continue
				}
				dev := mem[base+int64(p.block)*strides.Block*size:]
				if lie.whole() {
					dev = dev[:n]
					if it.kind == Gather {
						copy(host, dev)
					} else {
						copy(dev, host)
					}
				} else {
					lie.move(it.kind, host, dev)
				}
				moved += n
				if fault != nil && fault.Effect == Flip && moved == n {
					flip(it.kind, host[:lie.run], dev[:lie.run])
				}
			}
		}
	}
	return moved
}

// flip inverts one bit in the middle of the destination of a copy.
func flip(kind Kind, host, dev []byte) {
	if kind == Gather {
		host[len(host)/2] ^= 1
	} else {
		dev[len(dev)/2] ^= 1
	}
}
