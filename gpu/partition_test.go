package gpu_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/storage/kv"
)

func TestPartition(t *testing.T) {
	a, b := desc(2, 10, 16, 4, 8), desc(2, 10, 16, 8, 4)
	same := gpu.TensorDesc{Shape: a.Shape, Stride: []int64{5120, 512, 32, 8, 1}, DType: "torch.float16"} // as a, spelt out
	padded := gpu.TensorDesc{Shape: a.Shape, Stride: []int64{10240, 1024, 32, 8, 1}, DType: kv.Float16}
	other := gpu.TensorDesc{Shape: a.Shape, DType: kv.BFloat16}
	for _, tc := range []struct {
		name   string
		layers []gpu.TensorDesc
		groups []gpu.EngineGroup
		want   []gpu.KernelGroup
	}{
		{"no groups", of(3, a), nil, []gpu.KernelGroup{{0, []int{0, 1, 2}}}},
		{"equal layers of two groups", of(4, a), []gpu.EngineGroup{{ID: 1, Layers: []int{3, 1}}, {ID: 1, Layers: []int{0, 2}}}, []gpu.KernelGroup{{0, []int{3, 1}}, {1, []int{0, 2}}}},
		{
			"shape, stride and type separate",
			[]gpu.TensorDesc{a, b, padded, other, same, b},
			nil,
			[]gpu.KernelGroup{{0, []int{0, 4}}, {0, []int{1, 5}}, {0, []int{2}}, {0, []int{3}}},
		},
	} {
		got, err := gpu.Partition(tc.layers, tc.groups)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

// TestPartitionRefuses: each layer must be in exactly one group; all that is wrong
// is said at once.
func TestPartitionRefuses(t *testing.T) {
	bad := desc(2, -1)
	bad.DType = "float12"
	_, err := gpu.Partition(append(of(4, desc(2, 10, 16, 4, 8)), bad), []gpu.EngineGroup{
		{ID: 0, Layers: []int{0, 1}},
		{ID: 0, Layers: []int{1, 1, 5, -1}, BlockTokens: -16},
		{ID: 2},
		{ID: 3, Layers: []int{4}},
	})
	for _, want := range []string{
		"layer 1: in engine group 0 and again in 1", "engine group 1: layer 5, must be from 0 to 4", "layer -1",
		"layer 2: in no engine group", "layer 3: in no engine group", "tokens per block: -16",
		"engine group 2: no layers", "layer 4: shape [2 -1]", `"float12"`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
	if _, err := gpu.Partition(nil, nil); err == nil {
		t.Error("no layers: no error")
	}
}

// FuzzPartition: nothing makes Partition panic, and each layer has one place.
func FuzzPartition(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 3, 1, 0, 1, 1, 4})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := registration(data)
		kernels, err := gpu.Partition(r.Tensors, r.Groups)
		if err != nil {
			return
		}
		places := make([]int, len(r.Tensors))
		for _, k := range kernels {
			for _, l := range k.Layers {
				places[l]++
			}
		}
		for l, n := range places {
			if n != 1 {
				t.Errorf("layer %d is in %d kernel groups", l, n)
			}
		}
	})
}
