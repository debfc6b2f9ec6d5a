package gputest_test

import (
	"bytes"
	"testing"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/gputest"
)

type memory int64

func (m memory) Bytes() int64 { return int64(m) }

// TestReference holds the reference against examples worked out by hand.
func TestReference(t *testing.T) {
	g, err := gpu.Shape{Layers: 2, Blocks: 8, BlockTokens: 8, Heads: 2, HeadSize: 4, DType: "float16"}.
		Group(func(n int64) (gpu.Tensor, error) { return memory(n), nil })
	if err != nil {
		t.Fatal(err)
	}
	// Plane 1, layer 0, slot 9, head 1, d 3 of a chunk of blocks 4 and 2 is element
	// ((1·2 + 0)·16 + 9)·8 + 1·4 + 3 = 335, and element (1·2 + 1)·4 + 3 = 15 of block 2.
	m := gputest.NewBlocks(&g)
	m.Block(0, 1, 2)[30] = 0xAB
	object := m.Object([]gpu.BlockID{4, 2})
	want := make([]byte, 1024)
	want[670] = 0xAB
	if !bytes.Equal(object, want) {
		t.Error("the element is not at byte 670, or not alone")
	}
	// With a gap in place of block 4 it stays there; without block 4 it moves.
	if gap := m.Object([]gpu.BlockID{gpu.NoBlock, 2}); gap[670] != 0xAB {
		t.Error("a gap moves what follows it")
	}
	if short := m.Object([]gpu.BlockID{2}); short[((1*2)*8+1)*16+14] != 0xAB {
		t.Error("the element is not at its place in an object of one block")
	}
	// The way back, past a gap.
	other := gputest.NewBlocks(&g)
	other.Block(1, 1, 3)[5] = 0xCD
	other.Apply(object, []gpu.BlockID{gpu.NoBlock, 7})
	for block := range gpu.BlockID(8) {
		for layer := range 2 {
			for plane := range 2 {
				want := make([]byte, g.BlockBytes())
				switch {
				case block == 7 && layer == 0 && plane == 1:
					want[30] = 0xAB
				case block == 3 && layer == 1 && plane == 1:
					want[5] = 0xCD
				}
				if !bytes.Equal(other.Block(layer, plane, block), want) {
					t.Errorf("block %d, layer %d, plane %d: %x", block, layer, plane, other.Block(layer, plane, block))
				}
			}
		}
	}
}
