package gputest

import (
	"fmt"

	"github.com/lmcache-go/lmcache/gpu"
)

// Memory is the content of a group's tensors, gaps included: what a device
// should hold. It finds its way by formulas of its own.
type Memory struct {
	group   *gpu.Group
	layers  int
	tensors [][]byte
}

// NewMemory returns the content of a group whose bytes are zero.
func NewMemory(g *gpu.Group) *Memory {
	m := &Memory{group: g, layers: g.LayerCount(), tensors: make([][]byte, len(g.Layers))}
	for i := range m.tensors {
		m.tensors[i] = make([]byte, g.Layers[i].Bytes())
	}
	return m
}

// Tensor is the bytes of one tensor. They may be changed.
func (m *Memory) Tensor(i int) []byte { return m.tensors[i] }

// Element is the bytes of one element. They may be changed.
func (m *Memory) Element(plane, layer int, block gpu.BlockID, slot, head, d int) []byte {
	tensor, at := m.place(plane, layer, int(block), slot, head, d)
	size := m.group.DType.Size()
	return m.tensors[tensor][at*size:][:size]
}

// Object returns the object bytes of a list of blocks, as a Gather must give
// them: element by element in the order of gpu.Group.Offset, zero for NoBlock.
func (m *Memory) Object(blocks []gpu.BlockID) []byte {
	dst := make([]byte, m.group.Bytes(len(blocks)))
	m.each(blocks, func(object, element []byte) { copy(object, element) }, dst)
	return dst
}

// Apply writes object bytes into a list of blocks, as a Scatter must do it.
func (m *Memory) Apply(object []byte, blocks []gpu.BlockID) {
	m.each(blocks, func(object, element []byte) { copy(element, object) }, object)
}

// each calls f for each element of an object that has a block, with its bytes in
// the object and in its tensor.
func (m *Memory) each(blocks []gpu.BlockID, f func(object, element []byte), object []byte) {
	g := m.group
	size := g.DType.Size()
	layers, slots := m.layers, len(blocks)*g.BlockTokens
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
						f(object[at*size:][:size], m.Element(plane, layer, block, slot%g.BlockTokens, head, d))
					}
				}
			}
		}
	}
}

// place is where an element lies: in which tensor and, in elements, where in it.
func (m *Memory) place(plane, layer, block, slot, head, d int) (tensor, at int) {
	const planes = 2
	g := m.group
	nl, nb, bs, nh, hs := m.layers, g.Blocks, g.BlockTokens, g.Heads, g.HeadSize
	tensor = layer
	switch g.Format {
	case gpu.FormatTwoNBBSNHHS: // [2, NB, BS, NH, HS]
		at = (((plane*nb+block)*bs+slot)*nh+head)*hs + d
	case gpu.FormatNBTwoBSNHHS: // [NB, 2, BS, NH, HS]
		at = (((block*planes+plane)*bs+slot)*nh+head)*hs + d
	case gpu.FormatNBBSHS: // [NB, BS, HS]
		at = (block*bs+slot)*hs + d
	case gpu.FormatTwoNBNHBSHS: // [2, NB, NH, BS, HS]
		at = (((plane*nb+block)*nh+head)*bs+slot)*hs + d
	case gpu.FormatNBTwoNHBSHS: // [NB, 2, NH, BS, HS]
		at = (((block*planes+plane)*nh+head)*bs+slot)*hs + d
	case gpu.FormatTwoNLNBBSNHHS: // all K, then all V: [NB·BS, NH, HS]
		tensor = plane*nl + layer
		at = ((block*bs+slot)*nh+head)*hs + d
	case gpu.FormatNBBSOneHS: // [NB·BS, 1, HS]
		at = (block*bs+slot)*hs + d
	case gpu.FormatNBNLTwoBSNHHS: // [NB, NL, 2, BS, NH, HS]
		tensor = 0
		at = ((((block*nl+layer)*planes+plane)*bs+slot)*nh+head)*hs + d
	default:
		panic(fmt.Sprintf("gputest: no reference for format %q", g.Format))
	}
	if s := g.HostStrides; s != (gpu.Strides{}) {
		at = plane*int(s.Plane) + layer*int(s.Layer) + block*int(s.Block) + slot*int(s.Slot) + head*int(s.Head) + d
	}
	return tensor, at
}
