package gpu_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// TestFormats has each format with its tensors, as a table by hand.
func TestFormats(t *testing.T) {
	type facts struct {
		Tensors       string
		Planes, Count int // of three layers
		Strides       gpu.Strides
	}
	// 3 layers, 4 blocks of 7 tokens, 2 heads × 5, or one latent of 5.
	want := map[gpu.Format]facts{
		"NL_X_TWO_NB_BS_NH_HS":  {"NL x [2, NB, BS, NH, HS]", 2, 3, gpu.Strides{TensorLayer: 1, Plane: 280, Block: 70, Slot: 10, Head: 5}},
		"NL_X_NB_TWO_BS_NH_HS":  {"NL x [NB, 2, BS, NH, HS]", 2, 3, gpu.Strides{TensorLayer: 1, Block: 140, Plane: 70, Slot: 10, Head: 5}},
		"NL_X_NB_BS_HS":         {"NL x [NB, BS, HS]", 1, 3, gpu.Strides{TensorLayer: 1, Block: 35, Slot: 5, Head: 5}},
		"NL_X_TWO_NB_NH_BS_HS":  {"NL x [2, NB, NH, BS, HS]", 2, 3, gpu.Strides{TensorLayer: 1, Plane: 280, Block: 70, Head: 35, Slot: 5}},
		"NL_X_NB_TWO_NH_BS_HS":  {"NL x [NB, 2, NH, BS, HS]", 2, 3, gpu.Strides{TensorLayer: 1, Block: 140, Plane: 70, Head: 35, Slot: 5}},
		"TWO_X_NL_X_NBBS_NH_HS": {"2 x NL x [NBBS, NH, HS]", 2, 6, gpu.Strides{TensorPlane: 3, TensorLayer: 1, Block: 70, Slot: 10, Head: 5}},
		"NL_X_NBBS_ONE_HS":      {"NL x [NBBS, 1, HS]", 1, 3, gpu.Strides{TensorLayer: 1, Block: 35, Slot: 5, Head: 5}},
		"NB_NL_TWO_BS_NH_HS":    {"[NB, NL, 2, BS, NH, HS]", 2, 1, gpu.Strides{Block: 420, Layer: 140, Plane: 70, Slot: 10, Head: 5}},
	}
	got := map[gpu.Format]facts{}
	for _, f := range gpu.Formats() {
		g := group(t, shapeOf(f))
		got[f] = facts{f.Shape(), g.Planes(), len(g.Layers), g.Strides()}
		if g.LayerCount() != 3 || !f.Supported() {
			t.Errorf("%s: %d layers, supported: %v", f, g.LayerCount(), f.Supported())
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("formats (-want +got):\n%s", diff)
	}
}

// TestRefusedFormats: the other names of LMCache 0.5.6 are known, and refused with
// the shapes of their tensors.
func TestRefusedFormats(t *testing.T) {
	for name, tensors := range map[gpu.Format]string{
		"NB_NL_TWO_NH_BS_HS":       "[NB, NL, 2, NH, BS, HS]",
		"NL_X_NB_BSV_BSS":          "NL x [NB, BSV, BSS]",
		"NL_X_NB_BS_NH_CS":         "NL x [NB, BS, NH, CS]",
		"NL_X_NB_BS_NH_HS":         "NL x [NB, BS, NH, HS]",
		"NL_X_NB_BS_NH_TWO_HS":     "NL x [NB, BS, NH, 2, HS]",
		"NL_X_NB_NH_BS_CS":         "NL x [NB, NH, BS, CS]",
		"NL_X_NB_NH_BS_TWO_HS":     "NL x [NB, NH, BS, 2, HS]",
		"NL_X_NP_X_NB_BS_ONE_HS":   "NL x NP x [NB, BS, 1, HS]",
		"NL_X_TWO_NB_NH_ONE_BS_HS": "NL x [2, NB, NH, 1, BS, HS]",
		"NL_X_TWO_X_NB_BS_NH_HS":   "NL x 2 x [NB, BS, NH, HS]",
		"TWO_X_NL_X_NB_BS_NH_HS":   "2 x NL x [NB, BS, NH, HS]",
	} {
		s := recorded()
		s.Format = name
		err := s.Validate()
		if want := `unsupported layout "` + string(name) + `": tensors ` + tensors; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %s", err, want)
		}
		if name.Supported() || name.Shape() != tensors {
			t.Errorf("%s: supported: %v, shape %s, want %s", name, name.Supported(), name.Shape(), tensors)
		}
	}
	if nobody := gpu.Format("NL_X_NB"); nobody.Supported() || nobody.Shape() != "" {
		t.Errorf("a name that nobody has: shape %q", nobody.Shape())
	}
}

// TestObjectShape: an object has as many slots as the blocks that it is made of.
func TestObjectShape(t *testing.T) {
	s := recorded()
	g := group(t, s)
	if got, want := g.ObjectShape(2), []int64{2, 2, 16, 8}; !slices.Equal(got, want) {
		t.Errorf("shape of two blocks: %v, want %v", got, want)
	}
	if got, want := g.ObjectShape(1), []int64{2, 2, 8, 8}; !slices.Equal(got, want) {
		t.Errorf("shape of one block: %v, want %v", got, want)
	}
	s.Format, s.Heads, s.HeadSize = gpu.FormatNBBSHS, 1, 576
	g = group(t, s)
	if got, want := g.ObjectShape(2), []int64{2, 16, 576}; !slices.Equal(got, want) {
		t.Errorf("shape with one plane: %v, want %v", got, want)
	}
	for _, f := range gpu.Formats() {
		g := group(t, shapeOf(f))
		l, err := kv.NewLayout([][]int64{g.ObjectShape(3)}, []kv.DType{g.DType})
		if err != nil {
			t.Fatal(err)
		}
		if chunk, err := g.Layout(21); err != nil || !chunk.Equal(l) || l.Size() != g.Bytes(3) {
			t.Errorf("%s: layout %v of a chunk of three blocks, %v of their shape, %d bytes, error %v", f, chunk, l, g.Bytes(3), err)
		}
	}
}

// TestHostStrides: a group has the strides that the host gives, and its tensors
// must hold what they reach.
func TestHostStrides(t *testing.T) {
	s := recorded()
	s.HostStrides = gpu.Strides{Plane: 1000, Block: 100, Slot: 10, Head: 5}
	g := group(t, s)
	want := s.HostStrides
	want.TensorLayer = 1
	if diff := cmp.Diff(want, g.Strides()); diff != "" {
		t.Errorf("strides (-want +got):\n%s", diff)
	}
	// The last element is [1, 7, 7, 1, 3].
	if got, want := g.TensorBytes(), int64(2*(1000+700+70+5+3+1)); got != want {
		t.Errorf("tensors of %d bytes, want %d", got, want)
	}
	g.Layers[1] = memory(g.TensorBytes() - 1)
	if err := g.Validate(); err == nil || !strings.Contains(err.Error(), "tensor 1: 3557 bytes, must have 3558") {
		t.Errorf("a tensor that is too small: %v", err)
	}
	s.HostStrides = want // what Strides has returned
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	// K and V side by side, as in one tensor [NB, BS, NH, 2·HS].
	s.HostStrides = gpu.Strides{Block: 128, Slot: 16, Head: 8, Plane: 4}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
}

// TestHostStridesValidate: each defect is reported, and all of one kind at once.
func TestHostStridesValidate(t *testing.T) {
	for _, tc := range []struct {
		format  gpu.Format
		strides gpu.Strides
		want    []string
	}{
		{"", gpu.Strides{Plane: -1, Block: -2, Slot: 1 << 60, Head: 4}, []string{"plane: -1, must not be negative", "block: -2", "slot: 1152921504606846976, at most"}},
		{"", gpu.Strides{Plane: 512, Block: 64, Slot: 8, Head: 3}, []string{"head: 3, must be at least 4: elements overlap"}},
		{"", gpu.Strides{Plane: 512, Block: 64, Slot: 8}, []string{"head: 0, must be at least 4"}},
		{"", gpu.Strides{Plane: 448, Block: 56, Slot: 7, Head: 4}, []string{"slot: 7, must be at least 8", "block: 56, must be at least 57", "plane: 448, must be at least 449"}},
		{"", gpu.Strides{Plane: 512, Block: 64, Slot: 8, Head: 64}, []string{"must be at least"}},
		{"", gpu.Strides{Plane: 1 << 59, Block: 1 << 57, Slot: 8, Head: 4}, []string{"block: 144115188075855872, more than 576460752303423488 elements"}},
		{"", gpu.Strides{Plane: 512, Layer: 4096, Block: 64, Slot: 8, Head: 4}, []string{"layer: 4096, must be 0"}},
		{"", gpu.Strides{TensorPlane: 2, TensorLayer: 1, Plane: 512, Block: 64, Slot: 8, Head: 4}, []string{"from tensor to tensor: 2 and 1, must be 0 and 1"}},
		{gpu.FormatTwoNLNBBSNHHS, gpu.Strides{Plane: 512, Block: 64, Slot: 8, Head: 4}, []string{"plane: 512, must be 0"}},
		{gpu.FormatNBNLTwoBSNHHS, gpu.Strides{Block: 64, Plane: 512, Layer: 1023, Slot: 8, Head: 4}, []string{"layer: 1023, must be at least 1024"}},
	} {
		s := recorded()
		s.Format, s.HostStrides = tc.format, tc.strides
		err := s.Validate()
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want it to say %q", tc.strides, err, want)
			}
		}
	}
}

// TestValidateFormats: what does not go with a format is reported.
func TestValidateFormats(t *testing.T) {
	for _, tc := range []struct {
		format gpu.Format
		do     func(g *gpu.Group)
		want   string
	}{
		{gpu.FormatNBBSHS, func(g *gpu.Group) { g.Heads = 2 }, "heads: 2, must be 1"},
		{gpu.FormatNBBSOneHS, func(g *gpu.Group) { g.Heads = 2 }, "heads: 2, must be 1"},
		{gpu.FormatTwoNLNBBSNHHS, func(g *gpu.Group) { g.Layers = g.Layers[:5] }, "tensors: 5, must be even"},
		{gpu.FormatTwoNLNBBSNHHS, func(g *gpu.Group) { g.Layers = g.Layers[:1] }, "tensors: 1, must be even"},
		{gpu.FormatNBNLTwoBSNHHS, func(g *gpu.Group) { g.Layers = append(g.Layers, g.Layers[0]) }, "tensors: 2, must be 1"},
		{gpu.FormatNBNLTwoBSNHHS, func(g *gpu.Group) { g.TensorLayers = 0 }, "layers per tensor: 0, must be at least 1"},
		{gpu.FormatNBNLTwoBSNHHS, func(g *gpu.Group) { g.TensorLayers = 4 }, "tensor 0: 3360 bytes, must have 4480"},
		{gpu.FormatTwoNBBSNHHS, func(g *gpu.Group) { g.TensorLayers = 3 }, "layers per tensor: 3, must be 1"},
	} {
		g := group(t, shapeOf(tc.format))
		tc.do(&g)
		if err := g.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want it to say %q", tc.format, err, tc.want)
		}
	}
}
