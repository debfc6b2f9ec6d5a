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
	// ((1·2 + 0)·16 + 9)·8 + 1·4 + 3 = 335, and of layer 0 element [1, 2, 1, 1, 3] with
	// strides [512, 64, 8, 4, 1]: 655.
	m := gputest.NewMemory(&g)
	m.Tensor(0)[1310] = 0xAB
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
	// The way back, past a gap: to block 7, [1, 7, 1, 1, 3].
	other := gputest.NewMemory(&g)
	other.Tensor(1)[5] = 0xCD
	other.Apply(object, []gpu.BlockID{gpu.NoBlock, 7})
	for i := range 2 {
		want := make([]byte, 2048)
		if i == 0 {
			want[2*(512+7*64+8+4+3)] = 0xAB
		} else {
			want[5] = 0xCD
		}
		if !bytes.Equal(other.Tensor(i), want) {
			t.Errorf("tensor %d is not what was applied to it", i)
		}
	}
}

// TestReferencePlaces follows one element, (plane 1, layer 1, block 2, slot 3, head
// 1, d 4) of 3 layers, 5 blocks of 7 tokens, 2 heads × 6, through each format.
func TestReferencePlaces(t *testing.T) {
	shape := gpu.Shape{Layers: 3, Blocks: 5, BlockTokens: 7, Heads: 2, HeadSize: 6, DType: "uint8"}
	for _, tc := range []struct {
		format     gpu.Format
		tensor, at int
	}{
		{gpu.FormatTwoNBBSNHHS, 1, 420 + 2*84 + 3*12 + 6 + 4},
		{gpu.FormatNBTwoBSNHHS, 1, 2*168 + 84 + 3*12 + 6 + 4},
		{gpu.FormatTwoNBNHBSHS, 1, 420 + 2*84 + 42 + 3*6 + 4},
		{gpu.FormatNBTwoNHBSHS, 1, 2*168 + 84 + 42 + 3*6 + 4},
		{gpu.FormatTwoNLNBBSNHHS, 3 + 1, (2*7+3)*12 + 6 + 4},
		{gpu.FormatNBNLTwoBSNHHS, 0, 2*504 + 168 + 84 + 3*12 + 6 + 4},
		{gpu.FormatNBBSHS, 1, (2*7+3)*12 + 10}, // plane 0, one head, d 10
		{gpu.FormatNBBSOneHS, 1, (2*7+3)*12 + 10},
	} {
		l := gputest.Layout{Format: tc.format, Strides: gputest.Dense}
		g, err := l.Of(shape).Group(func(n int64) (gpu.Tensor, error) { return memory(n), nil })
		if err != nil {
			t.Fatal(err)
		}
		m := gputest.NewMemory(&g)
		if l.MLA() {
			m.Element(0, 1, 2, 3, 0, 10)[0] = 1
		} else {
			m.Element(1, 1, 2, 3, 1, 4)[0] = 1
		}
		if m.Tensor(tc.tensor)[tc.at] != 1 {
			t.Errorf("%s: the element is not at byte %d of tensor %d", tc.format, tc.at, tc.tensor)
		}
	}
}
