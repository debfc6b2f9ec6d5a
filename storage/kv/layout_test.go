package kv_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/storage/kv"
)

func TestLayoutVectors(t *testing.T) {
	for _, c := range []struct {
		shapes      [][]int64
		dtypes      []kv.DType
		text        string
		size        int64
		fingerprint string
	}{
		{
			[][]int64{{2, 32, 256, 1024}},
			[]kv.DType{kv.BFloat16},
			"torch.bfloat16[2,32,256,1024]", 33_554_432, "c6e9254d30b9fc9736d04df5661b1df2",
		},
		{
			[][]int64{{2, 32, 256, 1024}, {16}},
			[]kv.DType{"torch.bfloat16", "uint8"},
			"torch.bfloat16[2,32,256,1024];torch.uint8[16]", 33_554_448, "956e22b6edd6d81796a9ade5382c38b3",
		},
	} {
		l, err := kv.NewLayout(c.shapes, c.dtypes)
		fatal(t, err)
		if l.String() != c.text || l.Size() != c.size || l.Fingerprint().String() != c.fingerprint || l.IsZero() {
			t.Errorf("%s: text %s, %d bytes, fingerprint %v", c.text, l, l.Size(), l.Fingerprint())
		}
	}
}

func TestLayoutParts(t *testing.T) {
	shapes := [][]int64{{3, 5}, {}, {0}, {7}}
	dtypes := []kv.DType{"torch.float32", kv.Int64, kv.Bool, "torch.float8_e5m2"}
	l, err := kv.NewLayout(shapes, dtypes)
	fatal(t, err)
	want := []kv.Tensor{
		{DType: kv.Float32, Shape: []int64{3, 5}, Offset: 0, Size: 60},
		{DType: kv.Int64, Shape: []int64{}, Offset: 60, Size: 8},
		{DType: kv.Bool, Shape: []int64{0}, Offset: 68, Size: 0},
		{DType: kv.Float8E5M2, Shape: []int64{7}, Offset: 68, Size: 7},
	}
	if diff := cmp.Diff(want, l.Tensors()); diff != "" {
		t.Errorf("tensors (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(shapes, l.Shapes()); diff != "" {
		t.Errorf("shapes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]kv.DType{kv.Float32, kv.Int64, kv.Bool, kv.Float8E5M2}, l.DTypes()); diff != "" {
		t.Errorf("element types (-want +got):\n%s", diff)
	}

	// What came in and what went out is not part of the layout.
	shapes[0][0], l.Shapes()[0][0], l.Tensors()[0].Shape[0], l.DTypes()[0] = 9, 9, 9, kv.Bool
	if got, want := l.String(), "torch.float32[3,5];torch.int64[];torch.bool[0];torch.float8_e5m2[7]"; got != want {
		t.Errorf("layout is now %s, want %s", got, want)
	}
	if l.Size() != 75 {
		t.Errorf("size is %d, want 75", l.Size())
	}
}

func TestLayoutEqual(t *testing.T) {
	a, err := kv.RawLayout(64)
	fatal(t, err)
	b, err := kv.NewLayout([][]int64{{64}}, []kv.DType{"torch.uint8"})
	fatal(t, err)
	c, err := kv.NewLayout([][]int64{{32, 2}}, []kv.DType{kv.Uint8})
	fatal(t, err)
	if !a.Equal(b) || a.Fingerprint() != b.Fingerprint() {
		t.Error("layouts of equal tensors differ")
	}
	if a.Equal(c) || a.Fingerprint() == c.Fingerprint() || a.Equal(kv.Layout{}) || (kv.Layout{}).Equal(a) {
		t.Error("layouts of other tensors are equal")
	}
	var zero kv.Layout
	if !zero.IsZero() || !zero.Equal(kv.Layout{}) || zero.Size() != 0 || zero.String() != "" || zero.Fingerprint() != (kv.Fingerprint{}) ||
		zero.Tensors() != nil || zero.Shapes() != nil || zero.DTypes() != nil {
		t.Error("the zero Layout is not empty")
	}
}

func TestLayoutRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		shapes [][]int64
		dtypes []kv.DType
		want   []string
	}{
		{"lengths differ", [][]int64{{1}, {1}}, []kv.DType{kv.Int8}, []string{"2 shapes for 1 element types"}},
		{"no tensors", nil, nil, []string{"no tensors"}},
		{"no bytes", [][]int64{{0}, {4, 0}}, []kv.DType{kv.Int8, kv.Int8}, []string{"no bytes"}},
		{
			"everything at once",
			[][]int64{{1}, {-1}, {math.MaxInt64, 2}},
			[]kv.DType{"int4", kv.Int8, kv.Int8},
			[]string{`tensor 0: unknown element type "int4"`, "tensor 1: shape [-1] has a negative", "tensor 2: shape [9223372036854775807 2] does not fit"},
		},
		{"wraps to a small number", [][]int64{{1 << 32, 1 << 32, 3}}, []kv.DType{kv.Int8}, []string{"tensor 0"}},
		{"element size overflows", [][]int64{{1 << 62}}, []kv.DType{kv.Float64}, []string{"tensor 0"}},
		{"sum overflows", [][]int64{{math.MaxInt64}, {1}}, []kv.DType{kv.Int8, kv.Int8}, []string{"tensor 1: the object does not fit"}},
		{"prefix twice", [][]int64{{1}}, []kv.DType{"torch.torch.int8"}, []string{`"torch.torch.int8"`}},
	} {
		l, err := kv.NewLayout(c.shapes, c.dtypes)
		if err == nil || !l.IsZero() {
			t.Errorf("%s: %v, %v", c.name, l, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not say %q", c.name, err, want)
			}
		}
		if got := strings.Count(err.Error(), "kv: "); got != len(c.want) {
			t.Errorf("%s: error %q has %d problems, not %d", c.name, err, got, len(c.want))
		}
	}
	if l, err := kv.NewLayout([][]int64{{math.MaxInt64 / 2, 2}, {1}}, []kv.DType{kv.Int8, kv.Int8}); err != nil || l.Size() != math.MaxInt64 {
		t.Errorf("the largest object: %d bytes, %v", l.Size(), err)
	}
	if l, err := kv.NewLayout([][]int64{{math.MaxInt64, 2, 0}, {1}}, []kv.DType{kv.Int64, kv.Int8}); err != nil || l.Size() != 1 {
		t.Errorf("an empty tensor with large dimensions: %d bytes, %v", l.Size(), err)
	}
	if _, err := kv.RawLayout(0); err == nil {
		t.Error("a raw layout of no bytes is accepted")
	}
}

func TestDTypes(t *testing.T) {
	sizes := map[string]int{
		"int64": 8, "float64": 8,
		"int32": 4, "float32": 4,
		"int16": 2, "float16": 2, "bfloat16": 2,
		"int8": 1, "uint8": 1, "bool": 1, "float8_e4m3fn": 1, "float8_e5m2": 1,
	}
	for name, size := range sizes {
		for _, in := range []string{name, "torch." + name} {
			d, err := kv.ParseDType(in)
			fatal(t, err)
			if string(d) != name || d.Size() != size || d.Torch() != "torch."+name {
				t.Errorf("%s: %s, %d bytes, written %s", in, d, d.Size(), d.Torch())
			}
			if kv.DType(in).Size() != size || kv.DType(in).Torch() != "torch."+name {
				t.Errorf("%s as it is: %d bytes, written %s", in, kv.DType(in).Size(), kv.DType(in).Torch())
			}
		}
	}
	for _, in := range []string{"", "torch.", "Torch.int8", "int4", "half", "complex64", "BFLOAT16", " int8"} {
		if d, err := kv.ParseDType(in); err == nil || kv.DType(in).Size() != 0 {
			t.Errorf("%q is taken for %s", in, d)
		}
	}
}
