package gpu

import (
	"errors"
	"fmt"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Group is a kernel group: layers with equal shape, element type and strides,
// copied by one Gather or Scatter. Its methods other than Validate expect a
// valid group.
type Group struct {
	Format      Format
	Layers      []Tensor // in the order of the format: one per layer, in layer order
	Blocks      int      // blocks per tensor
	BlockTokens int      // tokens per block
	Heads       int
	HeadSize    int // elements
	DType       kv.DType
	EngineGroup int // index of the block table that addresses this group
}

// Planes is 2 where K and V are kept apart and 1 where one latent serves for both.
func (g *Group) Planes() int {
	f, _ := g.Format.format()
	return f.planes
}

// LayerCount is the number of layers.
func (g *Group) LayerCount() int {
	f, ok := g.Format.format()
	if !ok {
		return 0
	}
	return f.layers(len(g.Layers))
}

// SlotsPerBlock is how many slots of an object one block fills: one per token.
func (g *Group) SlotsPerBlock() int { return g.BlockTokens }

// Hidden is the number of elements of one slot in one plane of one layer: heads
// times head size, heads outermost.
func (g *Group) Hidden() int { return g.Heads * g.HeadSize }

// BlockBytes is the number of bytes of one block in one plane of one layer.
func (g *Group) BlockBytes() int64 {
	return int64(g.SlotsPerBlock()) * int64(g.Hidden()) * int64(g.DType.Size())
}

// Bytes is the size of a buffer that takes so many blocks of all layers and planes.
func (g *Group) Bytes(blocks int) int64 {
	return int64(g.Planes()) * int64(g.LayerCount()) * int64(blocks) * g.BlockBytes()
}

// Offset is the place of an element in a buffer of so many slots, in elements
// from the start of the buffer: the buffer is row-major [planes, layers, slots,
// heads, head size], so the place is
//
//	((plane·L + layer)·slots + slot)·(NH·HS) + head·HS + d
//
// with L layers, NH heads and head size HS. It holds for every Format.
func (g *Group) Offset(slots, plane, layer, slot, head, d int) int64 {
	row := (int64(plane)*int64(g.LayerCount())+int64(layer))*int64(slots) + int64(slot)
	return row*int64(g.Hidden()) + int64(head)*int64(g.HeadSize) + int64(d)
}

// Strides is where the group's elements lie in its tensors.
func (g *Group) Strides() Strides {
	f, ok := g.Format.format()
	if !ok {
		return Strides{}
	}
	return f.strides(g)
}

// TensorBytes is the size that each tensor of the group must have at least.
func (g *Group) TensorBytes() int64 {
	s := g.Strides()
	plane, layer := 0, 0
	if s.TensorPlane == 0 {
		plane = g.Planes() - 1
	}
	if s.TensorLayer == 0 {
		layer = g.LayerCount() - 1
	}
	last := s.Element(plane, layer, g.Blocks-1, g.SlotsPerBlock()-1, g.Heads-1, g.HeadSize-1)
	return (last + 1) * int64(g.DType.Size())
}

// Layout is the layout of the group's part of an object: one tensor [planes,
// layers, slots, hidden], or [layers, slots, hidden] with one plane. The chunk
// must be a whole number of blocks.
func (g *Group) Layout(chunkTokens int) (kv.Layout, error) {
	shape, err := g.shape(chunkTokens)
	if err != nil {
		return kv.Layout{}, err
	}
	l, err := kv.NewLayout([][]int64{shape}, []kv.DType{g.DType})
	if err != nil {
		return kv.Layout{}, fmt.Errorf("gpu: layout: %w", err)
	}
	return l, nil
}

func (g *Group) shape(chunkTokens int) ([]int64, error) {
	if g.BlockTokens < 1 || chunkTokens < 1 || chunkTokens%g.BlockTokens != 0 {
		return nil, fmt.Errorf("gpu: layout: a chunk of %d tokens is not a whole number of blocks of %d",
			chunkTokens, g.BlockTokens)
	}
	slots := chunkTokens / g.BlockTokens * g.SlotsPerBlock()
	shape := []int64{int64(g.LayerCount()), int64(slots), int64(g.Hidden())}
	if p := g.Planes(); p > 1 {
		shape = append([]int64{int64(p)}, shape...)
	}
	return shape, nil
}

// Validate reports all that is wrong with the group at once.
func (g *Group) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	f, supported := g.Format.format()
	if !supported {
		bad("unsupported layout %q, supported: %q", g.Format, Formats())
	}
	elements := int64(max(f.planes, 1))
	fits := true
	for _, dim := range []struct {
		name string
		n    int
	}{
		{"tensors", len(g.Layers)},
		{"blocks", g.Blocks},
		{"block tokens", g.BlockTokens},
		{"heads", g.Heads},
		{"head size", g.HeadSize},
	} {
		switch {
		case dim.n < 1:
			bad("%s: %d, must be at least 1", dim.name, dim.n)
			fits = false
		case int64(dim.n) > maxElements/elements:
			bad("%s: %d, more than %d elements in all", dim.name, dim.n, int64(maxElements))
			fits = false
			elements = 1 // the dimensions that follow are judged by themselves
		default:
			elements *= int64(dim.n)
		}
	}
	if int64(g.Blocks) > maxBlocks {
		bad("blocks: %d, at most %d", g.Blocks, maxBlocks)
	}
	if g.DType.Size() == 0 {
		bad("unknown element type %q", g.DType)
	}
	if g.EngineGroup < 0 {
		bad("engine group: %d, must be at least 0", g.EngineGroup)
	}
	known := supported && fits && g.DType.Size() > 0
	for i, t := range g.Layers {
		switch {
		case t == nil:
			bad("tensor %d: missing", i)
		case known && t.Bytes() < g.TensorBytes():
			bad("tensor %d: %d bytes, must have %d", i, t.Bytes(), g.TensorBytes())
		}
	}
	return errors.Join(errs...)
}

const (
	maxElements = 1 << 60 // elements of a group: no size in bytes overflows
	maxBlocks   = 1<<31 - 1
)
