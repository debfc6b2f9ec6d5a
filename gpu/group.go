package gpu

import (
	"fmt"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Group is a kernel group: layers with equal shape, element type and strides,
// copied by one Gather or Scatter. Its methods other than Validate expect a
// valid group.
type Group struct {
	Format       Format
	Layers       []Tensor // in the order of the format: per layer, in layer order; all K, then all V; or one for all
	TensorLayers int      // layers in each tensor, where the format has them in it; else 0 or 1
	Blocks       int      // blocks per tensor
	BlockTokens  int      // tokens per block
	Heads        int      // 1 in a format without heads
	HeadSize     int      // elements
	DType        kv.DType
	EngineGroup  int // index of the block table that addresses this group

	// HostStrides are the strides of the host's tensors where these have gaps or
	// another order than the format says: padded blocks, views into something
	// larger. The zero value means tensors without gaps. TensorPlane and
	// TensorLayer follow from the format and need not be set.
	HostStrides Strides
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
	return f.layers(g)
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

// Strides is where the group's elements lie in its tensors: HostStrides, or
// without gaps.
func (g *Group) Strides() Strides {
	f, ok := g.Format.format()
	if !ok {
		return Strides{}
	}
	s := g.HostStrides
	if s == (Strides{}) {
		s = f.dense(g)
	}
	s.TensorPlane, s.TensorLayer = f.steps(g)
	return s
}

// TensorBytes is the size that each tensor of the group must have at least.
func (g *Group) TensorBytes() int64 {
	f, ok := g.Format.format()
	if !ok {
		return 0
	}
	s := g.Strides()
	end := int64(g.HeadSize)
	for a := planeAxis; a <= headAxis; a++ {
		end += int64(f.count(g, a)-1) * *s.along(a)
	}
	return end * int64(g.DType.Size())
}

// ObjectShape is the shape of the group's part of an object of so many blocks:
// [planes, layers, slots, hidden], or [layers, slots, hidden] with one plane.
func (g *Group) ObjectShape(blocks int) []int64 {
	shape := []int64{int64(g.Planes()), int64(g.LayerCount()), int64(blocks) * int64(g.SlotsPerBlock()), int64(g.Hidden())}
	if shape[0] == 1 {
		return shape[1:]
	}
	return shape
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
	return g.ObjectShape(chunkTokens / g.BlockTokens), nil
}
