package gpu_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// desc is a tensor without gaps.
func desc(shape ...int64) gpu.TensorDesc { return gpu.TensorDesc{Shape: shape, DType: kv.Float16} }

// of is n equal tensors.
func of(n int, t gpu.TensorDesc) []gpu.TensorDesc {
	all := make([]gpu.TensorDesc, n)
	for i := range all {
		all[i] = t
	}
	return all
}

// found is what is discovered of one kernel group, in short.
func found(d gpu.Discovered) string {
	s := d.Shape
	return fmt.Sprintf("%s L%d NB%d BS%d NH%d HS%d %v", s.Format, s.Layers, s.Blocks, s.BlockTokens, s.Heads, s.HeadSize, d.Tensors)
}

// TestREQ_E47_Discovery has the table of tensors and hints, right ones and wrong
// ones: what is wrong is refused, by an error that has both numbers.
func TestREQ_E47_Discovery(t *testing.T) {
	const nhd, hnd = "NHD", "HND"
	five, fiveNB := desc(2, 100, 16, 8, 128), desc(100, 2, 16, 8, 128)
	three, flat, latent := desc(100, 16, 576), desc(1600, 8, 128), desc(1600, 1, 576)
	six := desc(100, 3, 2, 16, 8, 128)
	group := func(tokens int, layers ...int) []gpu.EngineGroup {
		return []gpu.EngineGroup{{Layers: layers, BlockTokens: tokens, WindowTokens: -1}}
	}
	for _, tc := range []struct {
		name    string
		engine  gpu.EngineType
		tensors []gpu.TensorDesc
		groups  []gpu.EngineGroup
		hints   gpu.Hints
		want    string   // of the only kernel group
		refused []string // parts of the error
	}{
		{"K and V first, NHD", "vllm", of(2, five), group(16, 0, 1), gpu.Hints{KVLayout: nhd, Heads: 8, BlockTokens: 16, HeadSize: 128}, "NL_X_TWO_NB_BS_NH_HS L2 NB100 BS16 NH8 HS128 [0 1]", nil},
		{"K and V first, HND", "vllm", of(2, five), nil, gpu.Hints{KVLayout: hnd, Heads: 16, BlockTokens: 8}, "NL_X_TWO_NB_NH_BS_HS L2 NB100 BS8 NH16 HS128 [0 1]", nil},
		{"K and V first, no hint", "mock", of(2, five), nil, gpu.Hints{}, "NL_X_TWO_NB_NH_BS_HS L2 NB100 BS8 NH16 HS128 [0 1]", nil},
		{"blocks first, NHD", "atom", of(1, fiveNB), nil, gpu.Hints{KVLayout: nhd, KVListLayout: "unified"}, "NL_X_NB_TWO_BS_NH_HS L1 NB100 BS16 NH8 HS128 [0]", nil},
		{"blocks first, HND", "vllm", of(1, fiveNB), group(8, 0), gpu.Hints{KVLayout: hnd}, "NL_X_NB_TWO_NH_BS_HS L1 NB100 BS8 NH16 HS128 [0]", nil},
		{"blocks first, no hint", "vllm", of(1, fiveNB), nil, gpu.Hints{}, "NL_X_NB_TWO_NH_BS_HS L1 NB100 BS8 NH16 HS128 [0]", nil},
		{"MLA", "vllm", of(3, three), group(16, 0, 1, 2), gpu.Hints{KVLayout: nhd, Heads: 1, HeadSize: 576}, "NL_X_NB_BS_HS L3 NB100 BS16 NH1 HS576 [0 1 2]", nil},
		{"MLA in blocks of all layers", "vllm", of(1, three), nil, gpu.Hints{KVLayout: "BLNHC"}, "NL_X_NB_BS_HS L1 NB100 BS16 NH1 HS576 [0]", nil},
		{"two lists, tokens by hint", "sglang", of(4, flat), nil, gpu.Hints{KVListLayout: "k_v", BlockTokens: 64}, "TWO_X_NL_X_NBBS_NH_HS L2 NB25 BS64 NH8 HS128 [0 1 2 3]", nil},
		{"two lists, tokens by group", "sglang", of(4, flat), group(16, 1, 0), gpu.Hints{KVListLayout: "k_v", Heads: 8}, "TWO_X_NL_X_NBBS_NH_HS L2 NB100 BS16 NH8 HS128 [1 0 3 2]", nil},
		{"two lists of one head", "sglang", of(2, latent), nil, gpu.Hints{KVListLayout: "k_v", BlockTokens: 1}, "TWO_X_NL_X_NBBS_NH_HS L1 NB1600 BS1 NH1 HS576 [0 1]", nil},
		{"latents", "sglang", of(2, latent), group(32, 0, 1), gpu.Hints{}, "NL_X_NBBS_ONE_HS L2 NB50 BS32 NH1 HS576 [0 1]", nil},
		{"all layers in one", "vllm", of(1, six), group(16, 0, 1, 2), gpu.Hints{KVLayout: "BLNHC", Heads: 8}, "NB_NL_TWO_BS_NH_HS L3 NB100 BS16 NH8 HS128 [0]", nil},
		{"all layers in one, no hint", "mock", of(1, six), nil, gpu.Hints{}, "NB_NL_TWO_BS_NH_HS L3 NB100 BS16 NH8 HS128 [0]", nil},

		// Hints that are wrong.
		{"tokens and heads swapped", "vllm", of(2, five), nil, gpu.Hints{KVLayout: hnd, BlockTokens: 16}, "", []string{"tokens per block: 8", "16 by tokens_per_block"}},
		{"tokens and heads swapped by no hint", "vllm", of(2, five), group(16, 0, 1), gpu.Hints{}, "", []string{"tokens per block: 8", "16 by engine group"}},
		{"all at once", "vllm", of(2, five), group(32, 0, 1), gpu.Hints{KVLayout: nhd, Heads: 4, BlockTokens: 64, HeadSize: 96}, "", []string{"16 in the tensors, 64", "16 in the tensors, 32", "heads: 8 in the tensors, 4", "head size: 128 in the tensors, 96"}},
		{"heads of a latent", "vllm", of(1, three), nil, gpu.Hints{Heads: 8}, "", []string{"heads: 1 in the tensors, 8 by num_kv_heads"}},
		{"block of a latent", "vllm", of(1, three), nil, gpu.Hints{BlockTokens: 32}, "", []string{"16 in the tensors, 32"}},
		{"all layers, other tokens", "vllm", of(1, six), nil, gpu.Hints{BlockTokens: 8}, "", []string{"16 in the tensors, 8"}},
		{"group and hint differ", "sglang", of(2, latent), group(32, 0, 1), gpu.Hints{BlockTokens: 16}, "", []string{"32 by the engine group, 16 by tokens_per_block"}},
		{"no whole blocks", "sglang", of(2, latent), nil, gpu.Hints{BlockTokens: 48}, "", []string{"1600 slots", "48 tokens"}},
		{"no block size", "sglang", of(2, latent), nil, gpu.Hints{}, "", []string{"1600 slots", "unknown size"}},
		{"heads first in one dimension with blocks", "sglang", of(2, flat), nil, gpu.Hints{KVLayout: hnd, KVListLayout: "k_v", BlockTokens: 16}, "", []string{"unsupported layout", "[1600 8 128]"}},
		{"K and V apart, but a hint that they are packed", "vllm", of(2, five), nil, gpu.Hints{KVLayout: "BLHNC"}, "", []string{"BLHNC", "tensor of 6", "these have 5"}},
		{"packed K and V in blocks of all layers", "vllm", of(2, desc(100, 8, 16, 256)), nil, gpu.Hints{KVLayout: "BLHNC"}, "", []string{`unsupported layout "NL_X_NB_NH_BS_CS"`}},
		{"lists of both", "vllm", of(2, five), nil, gpu.Hints{KVListLayout: "k_v"}, "", []string{"no pair of lists"}},
		{"lists of all layers", "vllm", of(1, six), nil, gpu.Hints{KVListLayout: "k_v"}, "", []string{"no pair of lists"}},
		{"one list too long", "sglang", of(3, flat), nil, gpu.Hints{KVListLayout: "k_v", BlockTokens: 16}, "", []string{"tensors: 3, must be even"}},
		{"K and V differ", "sglang", []gpu.TensorDesc{flat, desc(1600, 4, 128)}, nil, gpu.Hints{KVListLayout: "k_v", BlockTokens: 16}, "", []string{"[1600 8 128]", "[1600 4 128]"}},
		{"values that nobody knows", "cake", of(1, five), nil, gpu.Hints{KVLayout: "NDH", KVListLayout: "v_k", Heads: -1, BlockTokens: -2, HeadSize: -3}, "", []string{`"cake"`, `"NDH"`, `"v_k"`, "num_kv_heads: -1", "tokens_per_block: -2", "head_dim: -3"}},

		// Tensors that have two meanings, or none.
		{"two twos", "vllm", of(1, desc(2, 2, 16, 8, 128)), nil, gpu.Hints{KVLayout: nhd}, "", []string{"dimension 0 is 2", "dimension 1 is 2"}},
		{"no two", "vllm", of(1, desc(3, 100, 16, 8, 128)), nil, gpu.Hints{KVLayout: nhd}, "", []string{"dimension 0 is 3", "dimension 1 is 100"}},
		{"lists that nobody announced", "sglang", of(4, flat), nil, gpu.Hints{BlockTokens: 16}, "", []string{"not 8", "k_v"}},
		{"latents of twice the layers", "sglang", of(4, latent), group(16, 0, 1), gpu.Hints{}, "", []string{"layer 2: in no engine group", "layer 3: in no engine group"}},
		{"latents of others", "trtllm", of(1, three), nil, gpu.Hints{}, "", []string{"unsupported layout", "[100 16 576]", "trtllm"}},
		{"lists of vllm", "vllm", of(2, flat), nil, gpu.Hints{KVListLayout: "k_v", BlockTokens: 16}, "", []string{"unsupported layout", "[1600 8 128]"}},
		{"all layers, but several tensors", "vllm", of(2, six), nil, gpu.Hints{}, "", []string{"6 dimensions", "there are 2"}},
		{"all layers without K and V", "vllm", of(1, desc(100, 3, 4, 16, 8, 128)), nil, gpu.Hints{}, "", []string{"dimension 2", "4, must be 2"}},
		{"all layers, heads first", "trtllm", of(1, six), nil, gpu.Hints{KVLayout: hnd}, "", []string{`unsupported layout "NB_NL_TWO_NH_BS_HS"`, "[100 3 2 16 8 128]"}},
		{"all layers, some left out", "vllm", of(1, six), group(0, 0, 2, 1), gpu.Hints{}, "", []string{"from 0 to 2 in order"}},
		{"fused K and V", "vllm", of(1, desc(100, 16, 8, 256)), nil, gpu.Hints{KVLayout: nhd}, "", []string{`unsupported layout "NL_X_NB_BS_NH_CS"`, "[100 16 8 256]"}},
		{"fused K and V, heads first", "vllm", of(1, desc(100, 8, 16, 256)), nil, gpu.Hints{KVLayout: hnd}, "", []string{`unsupported layout "NL_X_NB_NH_BS_CS"`}},
		{"lists with blocks", "sglang", of(2, desc(100, 16, 8, 128)), nil, gpu.Hints{KVListLayout: "k_v"}, "", []string{`unsupported layout "TWO_X_NL_X_NB_BS_NH_HS"`}},
		{"a pool", "trtllm", of(1, desc(100, 3, 2, 16384)), nil, gpu.Hints{}, "", []string{`unsupported layout "NB_NL_TWO_NH_BS_HS"`, "[100 3 2 16384]"}},
		{"too few dimensions", "vllm", of(1, desc(100, 16)), nil, gpu.Hints{}, "", []string{"[100 16]"}},
		{"no tensors", "vllm", nil, nil, gpu.Hints{}, "", []string{"tensors: 0"}},
		{"an empty dimension", "vllm", of(1, desc(2, 0, 16, 8, 128)), nil, gpu.Hints{}, "", []string{"[2 0 16 8 128]", "must be at least 1"}},
		{"too large", "vllm", of(1, desc(2, 1<<40, 1<<40, 8, 128)), nil, gpu.Hints{}, "", []string{"more than"}},
	} {
		got, err := gpu.Discover(gpu.Registration{Engine: tc.engine, Tensors: tc.tensors, Groups: tc.groups, Hints: tc.hints})
		switch {
		case tc.refused == nil && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.refused == nil:
			if len(got) != 1 || found(got[0]) != tc.want || got[0].Shape.HostStrides != (gpu.Strides{}) {
				t.Errorf("%s: got %+v, want %s", tc.name, got, tc.want)
			}
		case err == nil:
			t.Errorf("%s: no error, got %s", tc.name, found(got[0]))
		}
		for _, want := range tc.refused {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want it to say %q", tc.name, err, want)
			}
		}
	}
}

// TestDiscoverStrides: strides are the tensors' own; where they have no gaps they
// are left out.
func TestDiscoverStrides(t *testing.T) {
	strided := func(shape, stride []int64) []gpu.TensorDesc {
		return []gpu.TensorDesc{{Shape: shape, Stride: stride, DType: "torch.float16"}}
	}
	for _, tc := range []struct {
		tensors []gpu.TensorDesc
		hints   gpu.Hints
		want    gpu.Strides
		refused string
	}{
		{strided([]int64{2, 8, 8, 2, 4}, []int64{512, 64, 8, 4, 1}), gpu.Hints{KVLayout: "NHD"}, gpu.Strides{}, ""},
		{strided([]int64{2, 8, 8, 1, 4}, []int64{256, 32, 4, 99, 1}), gpu.Hints{KVLayout: "NHD"}, gpu.Strides{}, ""}, // of one head
		{strided([]int64{2, 8, 8, 2, 4}, []int64{64, 128, 8, 4, 1}), gpu.Hints{KVLayout: "NHD"}, gpu.Strides{Plane: 64, Block: 128, Slot: 8, Head: 4}, ""},
		{strided([]int64{2, 8, 2, 8, 4}, []int64{1000, 100, 40, 5, 1}), gpu.Hints{KVLayout: "HND"}, gpu.Strides{Plane: 1000, Block: 100, Slot: 5, Head: 40}, ""},
		{strided([]int64{8, 3, 2, 8, 2, 4}, []int64{600, 200, 100, 10, 5, 1}), gpu.Hints{}, gpu.Strides{Block: 600, Layer: 200, Plane: 100, Slot: 10, Head: 5}, ""},
		{strided([]int64{2, 8, 8, 2, 4}, []int64{512, 64, 8, 4, 2}), gpu.Hints{KVLayout: "NHD"}, gpu.Strides{}, "the innermost is 2, must be 1"},
		{strided([]int64{2, 8, 8, 2, 4}, []int64{512, 64, 8, 3, 1}), gpu.Hints{KVLayout: "NHD"}, gpu.Strides{}, "head: 3, must be at least 4: elements overlap"},
		{strided([]int64{2, 8, 8, 2, 4}, []int64{0, 0, 0, 0, 1}), gpu.Hints{KVLayout: "NHD"}, gpu.Strides{}, "elements overlap"},
		{strided([]int64{2, 8, 8, 2, 4}, []int64{-512, 64, 8, 4, 1}), gpu.Hints{KVLayout: "NHD"}, gpu.Strides{}, "-512"},
		{strided([]int64{2, 8, 8, 2, 4}, []int64{64, 8, 4, 1}), gpu.Hints{KVLayout: "NHD"}, gpu.Strides{}, "5 dimensions"},
		{strided([]int64{2, 8, 8, 2, 4}, []int64{1 << 59, 1 << 58, 8, 4, 1}), gpu.Hints{KVLayout: "NHD"}, gpu.Strides{}, "more than"},
	} {
		got, err := gpu.Discover(gpu.Registration{Engine: "vllm", Tensors: tc.tensors, Hints: tc.hints})
		if tc.refused != "" {
			if err == nil || !strings.Contains(err.Error(), tc.refused) {
				t.Errorf("%v: got %v, want it to say %q", tc.tensors, err, tc.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", tc.tensors, err)
			continue
		}
		if diff := cmp.Diff(tc.want, got[0].Shape.HostStrides); diff != "" {
			t.Errorf("%v: strides (-want +got):\n%s", tc.tensors, diff)
		}
	}
	// Slots of lists lie a token apart, blocks as many as they have tokens.
	lists := of(2, gpu.TensorDesc{Shape: []int64{64, 2, 4}, Stride: []int64{10, 5, 1}, DType: kv.Float16})
	got, err := gpu.Discover(gpu.Registration{Engine: "sglang", Tensors: lists, Hints: gpu.Hints{KVListLayout: "k_v", BlockTokens: 16}})
	if err != nil {
		t.Fatal(err)
	}
	if want := (gpu.Strides{Block: 160, Slot: 10, Head: 5}); got[0].Shape.HostStrides != want {
		t.Errorf("strides of lists: %+v, want %+v", got[0].Shape.HostStrides, want)
	}
}

// TestDiscoverHybrid: each kernel group has a format and geometry of its own, and
// the tensors of the host in the order of its layers.
func TestDiscoverHybrid(t *testing.T) {
	got, err := gpu.Discover(gpu.Registration{
		Engine:  "vllm",
		Tensors: []gpu.TensorDesc{desc(2, 10, 16, 4, 8), desc(20, 2, 32, 4, 8), desc(2, 10, 16, 4, 8), desc(10, 16, 64)},
		Groups:  []gpu.EngineGroup{{ID: 7, Layers: []int{3, 2, 0}, BlockTokens: 16}, {ID: 3, Layers: []int{1}, BlockTokens: 32, WindowTokens: 1024}},
		Hints:   gpu.Hints{KVLayout: "NHD"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, d := range got {
		texts = append(texts, fmt.Sprintf("%d %d %v %s", d.EngineGroup, d.Shape.EngineGroup, d.Layers, found(d)))
	}
	want := []string{
		"0 0 [3] NL_X_NB_BS_HS L1 NB10 BS16 NH1 HS64 [3]",
		"0 0 [2 0] NL_X_TWO_NB_BS_NH_HS L2 NB10 BS16 NH4 HS8 [2 0]",
		"1 1 [1] NL_X_NB_TWO_BS_NH_HS L1 NB20 BS32 NH4 HS8 [1]",
	}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Errorf("kernel groups (-want +got):\n%s", diff)
	}
}

// FuzzDiscover: nothing that a host says makes Discover or Partition panic, and
// what they find is valid and has each layer once.
func FuzzDiscover(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 5, 2, 16, 16, 8, 64, 0})
	f.Add([]byte{2, 0, 1, 4, 3, 64, 8, 8, 0, 1, 16, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := registration(data)
		found, err := gpu.Discover(r)
		if err != nil {
			return
		}
		seen := map[int]bool{}
		for _, d := range found {
			if err := d.Shape.Validate(); err != nil {
				t.Errorf("%+v: %v", d, err)
			}
			for _, i := range d.Tensors {
				if i < 0 || i >= len(r.Tensors) || seen[i] {
					t.Errorf("%+v: tensor %d of %d does not exist, or is there twice", d, i, len(r.Tensors))
				}
				seen[i] = true
			}
			if d.Shape.Layers != len(d.Layers) {
				t.Errorf("%+v: %d layers", d, len(d.Layers))
			}
		}
		if len(seen) != len(r.Tensors) {
			t.Errorf("%d of %d tensors have a place", len(seen), len(r.Tensors))
		}
	})
}

// registration makes something of fuzzed bytes: small numbers, and now and then a
// very large or negative one.
func registration(data []byte) gpu.Registration {
	next := func() int64 {
		if len(data) == 0 {
			return 1
		}
		b := data[0]
		data = data[1:]
		if b == 0xFF && len(data) >= 8 {
			n := int64(binary.LittleEndian.Uint64(data))
			data = data[8:]
			return n
		}
		return int64(int8(b))
	}
	pick := func(texts ...string) string { return texts[uint64(next())%uint64(len(texts))] }
	r := gpu.Registration{
		Engine: gpu.EngineType(pick("vllm", "atom", "sglang", "trtllm", "mock", "")),
		Hints: gpu.Hints{
			KVLayout: pick("", "NHD", "HND", "BLHNC", "BLNHC", "x"), KVListLayout: pick("", "k_v", "unified", "x"),
			Heads: int(max(next(), -1)), BlockTokens: int(max(next(), -1)), HeadSize: int(max(next(), -1)),
		},
	}
	for range uint64(next()) % 8 {
		if len(r.Tensors) > 0 && next()%2 == 0 { // as the one before
			r.Tensors = append(r.Tensors, r.Tensors[len(r.Tensors)-1])
			continue
		}
		d := gpu.TensorDesc{DType: kv.DType(pick("float16", "torch.bfloat16", "float64", "x"))}
		strides := next()%2 == 0
		for range uint64(next()) % 8 {
			d.Shape = append(d.Shape, next())
			if strides {
				d.Stride = append(d.Stride, next())
			}
		}
		r.Tensors = append(r.Tensors, d)
	}
	for range uint64(next()) % 4 {
		g := gpu.EngineGroup{ID: int(next()), BlockTokens: int(next())}
		for range uint64(next()) % 8 {
			g.Layers = append(g.Layers, int(next()))
		}
		r.Groups = append(r.Groups, g)
	}
	return r
}
