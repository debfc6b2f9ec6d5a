package gputest

import (
	"fmt"

	"github.com/lmcache-go/lmcache/gpu"
)

// Blocks is the content of a group, block by block: what a device should hold.
type Blocks struct {
	group *gpu.Group
	data  [][]byte // by block, layer and plane
}

// NewBlocks returns the content of a group whose bytes are zero.
func NewBlocks(g *gpu.Group) *Blocks {
	m := &Blocks{group: g, data: make([][]byte, g.Blocks*g.LayerCount()*g.Planes())}
	for i := range m.data {
		m.data[i] = make([]byte, g.BlockBytes())
	}
	return m
}

// Block is the bytes of one block in one plane of one layer, in the order of the
// group's format. They may be changed.
func (m *Blocks) Block(layer, plane int, block gpu.BlockID) []byte {
	return m.data[(int(block)*m.group.LayerCount()+layer)*m.group.Planes()+plane]
}

// Object returns the object bytes of a list of blocks, as a Gather must give
// them: element by element in the order of gpu.Group.Offset, zero for NoBlock.
func (m *Blocks) Object(blocks []gpu.BlockID) []byte {
	dst := make([]byte, m.group.Bytes(len(blocks)))
	m.each(blocks, func(object, element []byte) { copy(object, element) }, dst)
	return dst
}

// Apply writes object bytes into a list of blocks, as a Scatter must do it.
func (m *Blocks) Apply(object []byte, blocks []gpu.BlockID) {
	m.each(blocks, func(object, element []byte) { copy(element, object) }, object)
}

// each calls f for each element of an object that has a block, with its bytes in
// the object and in the block.
func (m *Blocks) each(blocks []gpu.BlockID, f func(object, element []byte), object []byte) {
	g := m.group
	size := g.DType.Size()
	layers, slots := g.LayerCount(), len(blocks)*g.BlockTokens
	for plane := range g.Planes() {
		for layer := range layers {
			for slot := range slots {
				block := blocks[slot/g.BlockTokens]
				if block == gpu.NoBlock {
					continue
				}
				for head := range g.Heads {
					for d := range g.HeadSize {
						at := ((plane*layers+layer)*slots+slot)*(g.Heads*g.HeadSize) + head*g.HeadSize + d
						in := inBlock(g, slot%g.BlockTokens, head, d)
						f(object[at*size:][:size], m.Block(layer, plane, block)[in*size:][:size])
					}
				}
			}
		}
	}
}

// inBlock is the place of an element in its block, in elements.
func inBlock(g *gpu.Group, slot, head, d int) int {
	switch g.Format { //nolint:gocritic // one case per format
	case gpu.FormatTwoNBBSNHHS: // [block tokens, heads, head size]
		return (slot*g.Heads+head)*g.HeadSize + d
	}
	panic(fmt.Sprintf("gputest: no reference for format %q", g.Format))
}
