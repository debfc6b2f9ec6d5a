package gpu_test

import (
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// memory is a tensor of some size.
type memory int64

func (m memory) Bytes() int64 { return int64(m) }

func alloc(bytes int64) (gpu.Tensor, error) { return memory(bytes), nil }

func group(tb testing.TB, s gpu.Shape) gpu.Group {
	tb.Helper()
	g, err := s.Group(alloc)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// recorded is the geometry of two layers of 2 heads × 4 fp16, blocks of 8 tokens.
func recorded() gpu.Shape {
	return gpu.Shape{Layers: 2, Blocks: 8, BlockTokens: 8, Heads: 2, HeadSize: 4, DType: kv.Float16}
}

// TestGroupBytes has the worked examples: bytes per chunk and rank.
func TestGroupBytes(t *testing.T) {
	for _, tc := range []struct {
		name  string
		shape gpu.Shape
		chunk int
		bytes int64
	}{
		{"2 layers, H 8", gpu.Shape{Layers: 2, BlockTokens: 16, Heads: 2, HeadSize: 4, DType: kv.Float16}, 256, 16_384},
		{"recorded frames", gpu.Shape{Layers: 2, BlockTokens: 8, Heads: 2, HeadSize: 4, DType: kv.Float16}, 16, 1_024},
		{"32 layers, rank 1 of 1", gpu.Shape{Layers: 32, BlockTokens: 16, Heads: 8, HeadSize: 128, DType: kv.BFloat16}, 256, 33_554_432},
		{"32 layers, rank 1 of 2", gpu.Shape{Layers: 32, BlockTokens: 16, Heads: 4, HeadSize: 128, DType: kv.BFloat16}, 256, 16_777_216},
		{"MLA", gpu.Shape{Format: gpu.FormatNBBSHS, Layers: 61, BlockTokens: 64, Heads: 1, HeadSize: 576, DType: kv.BFloat16}, 256, 17_989_632},
		{"hybrid in one group", gpu.Shape{Layers: 48, BlockTokens: 16, Heads: 4, HeadSize: 256, DType: kv.BFloat16}, 256, 50_331_648},
		{"hybrid, full layers", gpu.Shape{Layers: 8, BlockTokens: 16, Heads: 4, HeadSize: 256, DType: kv.BFloat16}, 256, 8_388_608},
		{"hybrid, windowed layers", gpu.Shape{Layers: 40, BlockTokens: 16, Heads: 4, HeadSize: 256, DType: kv.BFloat16}, 256, 41_943_040},
	} {
		tc.shape.Blocks = 100
		g := group(t, tc.shape)
		if got := g.Bytes(tc.chunk / g.BlockTokens); got != tc.bytes {
			t.Errorf("%s: Bytes %d, want %d", tc.name, got, tc.bytes)
		}
		l, err := g.Layout(tc.chunk)
		if err != nil {
			t.Fatal(err)
		}
		if l.Size() != tc.bytes {
			t.Errorf("%s: layout of %d bytes, want %d", tc.name, l.Size(), tc.bytes)
		}
		if want := int64(g.Planes()) * 100 * g.BlockBytes(); g.TensorBytes() != want {
			t.Errorf("%s: tensors of %d bytes, want %d", tc.name, g.TensorBytes(), want)
		}
	}
}

// TestHybridBytes: what 64 chunks of the hybrid load, in one group and in two of
// which the windowed one loads four.
func TestHybridBytes(t *testing.T) {
	bytes := func(layers int) int64 {
		g := group(t, gpu.Shape{Layers: layers, Blocks: 100, BlockTokens: 16, Heads: 4, HeadSize: 256, DType: kv.BFloat16})
		return g.Bytes(256 / 16)
	}
	if got := 64 * bytes(48) >> 20; got != 3072 {
		t.Errorf("merged: %d MiB, want 3072", got)
	}
	if got := (64*bytes(8) + 4*bytes(40)) >> 20; got != 672 {
		t.Errorf("separate: %d MiB, want 672", got)
	}
}

// TestOffset follows one element of the recorded geometry from the object to its
// source: element (K/V 1, layer 0, slot 9, head 1, d 3) of a chunk of blocks
// (b0, b1) is element 335, byte 670, and comes from layer 0, [1, b1, 1, 1, 3].
func TestOffset(t *testing.T) {
	g := group(t, recorded())
	const slots = 16
	if got := g.Offset(slots, 1, 0, 9, 1, 3); got != 335 {
		t.Errorf("Offset = %d, want 335", got)
	}
	if got := g.Offset(slots, 1, 0, 9, 1, 3) * int64(g.DType.Size()); got != 670 {
		t.Errorf("byte %d, want 670", got)
	}
	s := g.Strides()
	if diff := cmp.Diff(gpu.Strides{TensorLayer: 1, Plane: 512, Block: 64, Slot: 8, Head: 4}, s); diff != "" {
		t.Errorf("strides (-want +got):\n%s", diff)
	}
	const b1 = 5
	if got, want := s.Element(1, 0, b1, 9%g.SlotsPerBlock(), 1, 3), int64(512+64*b1+8+4+3); got != want {
		t.Errorf("source element %d, want %d", got, want)
	}
	if got := s.Tensor(1, 0); got != 0 {
		t.Errorf("source tensor %d, want 0", got)
	}
	if got := s.Tensor(0, 1); got != 1 {
		t.Errorf("tensor of layer 1: %d, want 1", got)
	}
}

// TestOffsetIsDense: the offsets of a buffer's elements in row-major order are 0,
// 1, 2 and so on to its size.
func TestOffsetIsDense(t *testing.T) {
	g := group(t, gpu.Shape{Layers: 3, Blocks: 4, BlockTokens: 2, Heads: 2, HeadSize: 5, DType: kv.Float32})
	const blocks = 3
	slots := blocks * g.SlotsPerBlock()
	next := int64(0)
	for plane := range g.Planes() {
		for layer := range g.LayerCount() {
			for slot := range slots {
				for head := range g.Heads {
					for d := range g.HeadSize {
						if got := g.Offset(slots, plane, layer, slot, head, d); got != next {
							t.Fatalf("(%d, %d, %d, %d, %d) at %d, want %d", plane, layer, slot, head, d, got, next)
						}
						next++
					}
				}
			}
		}
	}
	if got := g.Bytes(blocks); got != next*4 {
		t.Errorf("Bytes = %d, want %d", got, next*4)
	}
}

// TestStridesAreDense: every element of every tensor is named once, in each
// format.
func TestStridesAreDense(t *testing.T) {
	for _, f := range gpu.Formats() {
		g := group(t, shapeOf(f))
		s := g.Strides()
		seen := make([][]bool, len(g.Layers))
		for i := range seen {
			seen[i] = make([]bool, g.Layers[i].Bytes()/2)
		}
		each(&g, func(plane, layer, block, slot, head, d int) {
			at := &seen[s.Tensor(plane, layer)][s.Element(plane, layer, block, slot, head, d)]
			if *at {
				t.Fatalf("%s: (%d, %d, %d, %d, %d, %d) is somebody else's place", f, plane, layer, block, slot, head, d)
			}
			*at = true
		})
		for i := range seen {
			for e, ok := range seen[i] {
				if !ok {
					t.Errorf("%s: element %d of tensor %d belongs to nothing", f, e, i)
				}
			}
		}
	}
}

// shapeOf is a shape of three layers in which no two dimensions are equal.
func shapeOf(f gpu.Format) gpu.Shape {
	s := gpu.Shape{Format: f, Layers: 3, Blocks: 4, BlockTokens: 7, Heads: 2, HeadSize: 5, DType: kv.Int16}
	if f == gpu.FormatNBBSHS || f == gpu.FormatNBBSOneHS {
		s.Heads = 1
	}
	return s
}

// each calls f for each element of a group.
func each(g *gpu.Group, f func(plane, layer, block, slot, head, d int)) {
	for plane := range g.Planes() {
		for layer := range g.LayerCount() {
			for block := range g.Blocks {
				for slot := range g.SlotsPerBlock() {
					for head := range g.Heads {
						for d := range g.HeadSize {
							f(plane, layer, block, slot, head, d)
						}
					}
				}
			}
		}
	}
}

func TestLayout(t *testing.T) {
	p := &gpu.Paged{Groups: []gpu.Group{
		group(t, gpu.Shape{Layers: 32, Blocks: 10, BlockTokens: 16, Heads: 8, HeadSize: 128, DType: kv.BFloat16}),
	}}
	l, err := p.Layout(256)
	if err != nil {
		t.Fatal(err)
	}
	// SHA-256 of "torch.bfloat16[2,32,256,1024]".
	id := l.Fingerprint()
	if got := hex.EncodeToString(id[:]); got != "c6e9254d30b9fc9736d04df5661b1df2" {
		t.Errorf("fingerprint %s", got)
	}
	p.Groups = append(p.Groups,
		group(t, gpu.Shape{Layers: 2, Blocks: 10, BlockTokens: 32, Heads: 1, HeadSize: 4, DType: kv.Float32}))
	if l, err = p.Layout(256); err != nil {
		t.Fatal(err)
	}
	if want := p.Groups[0].Bytes(16) + p.Groups[1].Bytes(8); l.Size() != want {
		t.Errorf("layout of two groups: %d bytes, want %d", l.Size(), want)
	}
	want, err := kv.NewLayout([][]int64{{2, 32, 256, 1024}, {2, 2, 256, 4}}, []kv.DType{kv.BFloat16, kv.Float32})
	if err != nil {
		t.Fatal(err)
	}
	if l.Fingerprint() != want.Fingerprint() {
		t.Error("fingerprint of two groups differs from that of their shapes")
	}
	for _, chunk := range []int{0, -16, 8, 24, 16} { // 16 fits the first group alone
		if _, err := p.Layout(chunk); err == nil {
			t.Errorf("chunk of %d tokens: no error", chunk)
		}
	}
}

// TestValidate: each defect is reported, and all of them at once.
func TestValidate(t *testing.T) {
	good := group(t, recorded())
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	need := good.TensorBytes()
	defects := []struct {
		want string
		do   func(g *gpu.Group)
	}{
		{`unsupported layout "NL_X_NB_NH_BS_CS"`, func(g *gpu.Group) { g.Format = "NL_X_NB_NH_BS_CS" }},
		{"unsupported layout", func(g *gpu.Group) { g.Format = "" }},
		{"tensors: 0, must be at least 1", func(g *gpu.Group) { g.Layers = nil }},
		{"tensor 1: missing", func(g *gpu.Group) { g.Layers = []gpu.Tensor{g.Layers[0], nil} }},
		{"tensor 0: 1023 bytes, must have 2048", func(g *gpu.Group) { g.Layers = []gpu.Tensor{memory(1023), memory(need)} }},
		{"tensor 1: 2047 bytes, must have 2048", func(g *gpu.Group) { g.Layers = []gpu.Tensor{memory(need), memory(need - 1)} }},
		{"blocks: 0, must be at least 1", func(g *gpu.Group) { g.Blocks = 0 }},
		{"block tokens: -1, must be at least 1", func(g *gpu.Group) { g.BlockTokens = -1 }},
		{"heads: 0, must be at least 1", func(g *gpu.Group) { g.Heads = 0 }},
		{"head size: 0, must be at least 1", func(g *gpu.Group) { g.HeadSize = 0 }},
		{`unknown element type "float12"`, func(g *gpu.Group) { g.DType = "float12" }},
		{"engine group: -1, must be at least 0", func(g *gpu.Group) { g.EngineGroup = -1 }},
	}
	if strconv.IntSize == 64 {
		most := math.MaxInt32
		defects = append(defects, []struct {
			want string
			do   func(g *gpu.Group)
		}{
			{"blocks: 2147483648, at most 2147483647", func(g *gpu.Group) { g.Blocks = most + 1 }},
			{"head size: 9223372036854775807, more than", func(g *gpu.Group) { g.HeadSize = math.MaxInt }},
		}...)
	}
	for _, d := range defects {
		g := good
		d.do(&g)
		if err := g.Validate(); err == nil || !strings.Contains(err.Error(), d.want) {
			t.Errorf("got %v, want it to say %q", err, d.want)
		}
	}
	all := gpu.Group{Format: "x", Layers: []gpu.Tensor{nil}, EngineGroup: -3}
	err := (&gpu.Paged{Groups: []gpu.Group{good, all}}).Validate()
	for _, want := range []string{
		"group 1", `layout "x"`, "tensor 0: missing", "blocks: 0", "block tokens: 0", "heads: 0", "head size: 0",
		`element type ""`, "engine group: -3",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
	if err := (&gpu.Paged{}).Validate(); err == nil {
		t.Error("a cache without groups: no error")
	}
	if err := (&gpu.Paged{Groups: []gpu.Group{good}}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestShape(t *testing.T) {
	full := errors.New("full")
	made := 0
	_, err := recorded().Group(func(bytes int64) (gpu.Tensor, error) {
		if bytes != 2048 {
			t.Errorf("asked for %d bytes, want 2048", bytes)
		}
		if made++; made == 2 {
			return nil, full
		}
		return memory(bytes), nil
	})
	if !errors.Is(err, full) || made != 2 {
		t.Errorf("second tensor refused: %v after %d", err, made)
	}
	for _, bad := range []func(*gpu.Shape){
		func(s *gpu.Shape) { s.Layers = 0 },
		func(s *gpu.Shape) { s.Layers = -1 },
		func(s *gpu.Shape) { s.Layers = math.MaxInt },
		func(s *gpu.Shape) { s.Format = "NL_X_NB_NH_BS_CS" },
		func(s *gpu.Shape) { s.Heads, s.HeadSize = math.MaxInt, math.MaxInt },
	} {
		s := recorded()
		bad(&s)
		if _, err := s.Group(func(int64) (gpu.Tensor, error) {
			t.Errorf("%+v: memory was asked for", s)
			return memory(0), nil
		}); err == nil {
			t.Errorf("%+v: no error", s)
		}
	}
	g := group(t, recorded())
	want := gpu.Group{
		Format: gpu.FormatTwoNBBSNHHS, Layers: []gpu.Tensor{memory(2048), memory(2048)}, Blocks: 8, BlockTokens: 8,
		Heads: 2, HeadSize: 4, DType: kv.Float16,
	}
	if diff := cmp.Diff(want, g); diff != "" {
		t.Errorf("group (-want +got):\n%s", diff)
	}
}

// TestGroupAllocates: the arithmetic of the hot path allocates nothing.
func TestGroupAllocates(t *testing.T) {
	g := group(t, recorded())
	sum := int64(0)
	if n := testing.AllocsPerRun(100, func() {
		s := g.Strides()
		sum += g.Bytes(3) + g.BlockBytes() + g.Offset(16, 1, 1, 3, 1, 2) + s.Element(1, 1, 2, 3, 1, 2)
	}); n != 0 {
		t.Errorf("%v allocations, sum %d", n, sum)
	}
}

func TestPriority(t *testing.T) {
	var zero gpu.Priority
	if zero != gpu.Normal || gpu.High <= gpu.Normal {
		t.Error("normal priority is not the lowest")
	}
	for p, want := range map[gpu.Priority]string{gpu.Normal: "normal", gpu.High: "high", 5: "5"} {
		if got := p.String(); got != want {
			t.Errorf("priority %d: %q, want %q", int8(p), got, want)
		}
	}
}
