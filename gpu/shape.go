package gpu

import (
	"fmt"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Shape is what a Group is made from: all of it but the memory.
type Shape struct {
	Format      Format // empty: FormatTwoNBBSNHHS
	Layers      int
	Blocks      int // per tensor
	BlockTokens int
	Heads       int // 1 in a format without heads
	HeadSize    int // elements
	DType       kv.DType
	EngineGroup int
	HostStrides Strides // zero: tensors without gaps
}

// Validate reports all that is wrong with the shape at once.
func (s Shape) Validate() error {
	_, err := s.unmade()
	return err
}

// Group checks the shape, asks alloc for each tensor, giving its size in bytes,
// and returns the group. It stops at the first tensor that alloc refuses; those
// made so far are the caller's to free.
func (s Shape) Group(alloc func(bytes int64) (Tensor, error)) (Group, error) {
	g, err := s.unmade()
	if err != nil {
		return Group{}, err
	}
	for i := range g.Layers {
		t, err := alloc(g.TensorBytes())
		if err != nil {
			return Group{}, fmt.Errorf("gpu: tensor %d: %w", i, err)
		}
		g.Layers[i] = t
	}
	return g, nil
}

// unmade is a valid group of the shape that has no memory yet.
func (s Shape) unmade() (Group, error) {
	if s.Format == "" {
		s.Format = FormatTwoNBBSNHHS
	}
	g := Group{
		Format:      s.Format,
		Blocks:      s.Blocks,
		BlockTokens: s.BlockTokens,
		Heads:       s.Heads,
		HeadSize:    s.HeadSize,
		DType:       s.DType,
		EngineGroup: s.EngineGroup,
		HostStrides: s.HostStrides,
	}
	if s.Layers > maxLayers {
		return Group{}, fmt.Errorf("gpu: shape: layers: %d, at most %d", s.Layers, maxLayers)
	}
	if f, ok := s.Format.format(); ok && s.Layers > 0 {
		if f.joint {
			g.TensorLayers = s.Layers
		}
		g.Layers = make([]Tensor, f.tensors(s.Layers))
		for i := range g.Layers {
			g.Layers[i] = unmade{}
		}
	}
	if err := g.Validate(); err != nil {
		return Group{}, fmt.Errorf("gpu: shape: %w", err)
	}
	return g, nil
}

const maxLayers = 1 << 16

// unmade holds the place of a tensor while a shape is checked.
type unmade struct{}

// Bytes is as large as any tensor may be.
func (unmade) Bytes() int64 { return 1<<63 - 1 }
