package gpu

import (
	"errors"
	"fmt"
	"slices"
)

// EngineType is the kind of host that registers a cache.
type EngineType string

// The kinds of hosts.
const (
	EngineVLLM   EngineType = "vllm"
	EngineAtom   EngineType = "atom"
	EngineSGLang EngineType = "sglang"
	EngineTRTLLM EngineType = "trtllm"
	EngineMock   EngineType = "mock"
)

// Hints are what a host says about its tensors beyond their shapes. The zero value
// of each field means that it says nothing.
type Hints struct {
	KVLayout     string // "NHD", "HND"; "BLNHC", "BLHNC" if all layers of a block lie side by side
	KVListLayout string // "k_v": a list of K tensors, then one of V; "unified": one list
	Heads        int    // of K and V, on this rank
	BlockTokens  int
	HeadSize     int // elements
}

// Values of Hints.
const (
	layoutNHD, layoutHND     = "NHD", "HND"
	layoutBLNHC, layoutBLHNC = "BLNHC", "BLHNC"
	listsKV, listsUnified    = "k_v", "unified"
)

// check says what is wrong with hints by themselves.
func (h *Hints) check() (errs []error) {
	for _, text := range []struct {
		name, value string
		known       []string
	}{
		{"kv_layout", h.KVLayout, []string{layoutNHD, layoutHND, layoutBLHNC, layoutBLNHC}},
		{"kv_list_layout", h.KVListLayout, []string{listsKV, listsUnified}},
	} {
		if text.value != "" && !slices.Contains(text.known, text.value) {
			errs = append(errs, fmt.Errorf("gpu: discover: %s: %q, must be one of %q", text.name, text.value, text.known))
		}
	}
	for _, number := range []struct {
		name  string
		value int
	}{{"num_kv_heads", h.Heads}, {"tokens_per_block", h.BlockTokens}, {"head_dim", h.HeadSize}} {
		if number.value < 0 {
			errs = append(errs, fmt.Errorf("gpu: discover: %s: %d, must not be negative", number.name, number.value))
		}
	}
	return errs
}

// Registration is what a remote host says about its cache. It names no format.
type Registration struct {
	Engine  EngineType
	Tensors []TensorDesc
	Groups  []EngineGroup // none: one of all layers
	Hints   Hints
}

// Discovered is a kernel group of a Registration: all of a Group but its memory.
type Discovered struct {
	KernelGroup
	Tensors []int // indices in Registration.Tensors, in the order of Group.Layers
	Shape   Shape // its Group asks for memory in the order of Tensors
}

// Discover finds the format and the geometry of each kernel group (see
// Partition) from what the host says:
//
//	tensors                                      format
//	[2, a, b, c, d], one per layer               NL_X_TWO_NB_BS_NH_HS with NHD, else NL_X_TWO_NB_NH_BS_HS
//	[a, 2, b, c, d], one per layer, a not 2      NL_X_NB_TWO_BS_NH_HS with NHD, else NL_X_NB_TWO_NH_BS_HS
//	[a, b, c], one per layer, vllm               NL_X_NB_BS_HS
//	[a, b, c], lists of K and V (k_v), sglang    TWO_X_NL_X_NBBS_NH_HS
//	[a, 1, c], one per layer, sglang             NL_X_NBBS_ONE_HS
//	[a, b, 2, c, d, e], one for all layers       NB_NL_TWO_BS_NH_HS
//
// Anything else, and what can be read in two ways, is refused. So is a result
// that contradicts a hint or the group's tokens per block, by an error that
// names both numbers. Strides are those of the tensors. All problems are
// reported at once. It keeps nothing of r.
func Discover(r Registration) ([]Discovered, error) {
	errs := r.Hints.check()
	switch r.Engine {
	case EngineVLLM, EngineAtom, EngineSGLang, EngineTRTLLM, EngineMock:
	default:
		errs = append(errs, fmt.Errorf("gpu: discover: unknown engine type %q", r.Engine))
	}
	if n := len(r.Tensors); n == 0 || n > 2*maxLayers {
		errs = append(errs, fmt.Errorf("gpu: discover: tensors: %d, must be from 1 to %d", n, 2*maxLayers))
	}
	for i := range r.Tensors {
		if err := r.Tensors[i].check(); err != nil {
			errs = append(errs, fmt.Errorf("gpu: discover: tensor %d: %w", i, err))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	layers, err := r.layers()
	if err != nil {
		return nil, fmt.Errorf("gpu: discover: %w", err)
	}
	kernels, err := Partition(layers, r.Groups)
	if err != nil {
		return nil, err
	}
	found := make([]Discovered, len(kernels))
	for i, k := range kernels {
		if found[i], err = r.discover(k, layers); err != nil {
			errs = append(errs, fmt.Errorf("gpu: discover: layers %v: %w", summary(k.Layers), err))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return found, nil
}

// layers describes each layer by one tensor.
func (r *Registration) layers() ([]TensorDesc, error) {
	switch {
	case r.joint():
		t := &r.Tensors[0]
		if t.Shape[1] > maxLayers {
			return nil, fmt.Errorf("layers: %d, at most %d", t.Shape[1], maxLayers)
		}
		return slices.Repeat(r.Tensors, int(t.Shape[1])), nil
	case r.Hints.KVListLayout == listsKV:
		n := len(r.Tensors)
		if n%2 != 0 {
			return nil, fmt.Errorf("tensors: %d, must be even: kv_list_layout is %s", n, listsKV)
		}
		for i := range n / 2 {
			if k, v := &r.Tensors[i], &r.Tensors[n/2+i]; k.key() != v.key() {
				return nil, fmt.Errorf("layer %d: K is %v with stride %v, %s, V is %v with stride %v, %s",
					i, k.Shape, k.Stride, k.DType, v.Shape, v.Stride, v.DType)
			}
		}
		return r.Tensors[:n/2], nil
	}
	return r.Tensors, nil
}

// joint reports whether one tensor holds all layers.
func (r *Registration) joint() bool { return len(r.Tensors) == 1 && len(r.Tensors[0].Shape) == 6 }

// discover finds out about one kernel group.
func (r *Registration) discover(k KernelGroup, layers []TensorDesc) (Discovered, error) {
	t := &layers[k.Layers[0]]
	engine := EngineGroup{}
	if len(r.Groups) > 0 {
		engine = r.Groups[k.EngineGroup]
	}
	f, err := r.read(t)
	if err != nil {
		return Discovered{}, err
	}
	d := Discovered{KernelGroup: k, Tensors: slices.Clone(k.Layers)}
	switch f {
	case FormatTwoNLNBBSNHHS:
		for _, l := range k.Layers {
			d.Tensors = append(d.Tensors, len(r.Tensors)/2+l)
		}
	case FormatNBNLTwoBSNHHS:
		if !inOrder(k.Layers, len(layers)) {
			return Discovered{}, fmt.Errorf("layers of one tensor must be one engine group, from 0 to %d in order", len(layers)-1)
		}
		d.Tensors = []int{0}
	}
	if d.Shape, err = r.measure(f, t, &engine); err != nil {
		return Discovered{}, err
	}
	d.Shape.Layers, d.Shape.EngineGroup = len(k.Layers), k.EngineGroup
	g, err := d.Shape.unmade()
	if err != nil {
		return Discovered{}, err
	}
	if g.gapless() {
		d.Shape.HostStrides = Strides{}
	}
	return d, nil
}

// inOrder reports whether layers are 0 to n-1.
func inOrder(layers []int, n int) bool {
	for i, l := range layers {
		if i != l {
			return false
		}
	}
	return len(layers) == n
}

// summary is a list of layers short enough for an error.
func summary(layers []int) []int { return layers[:min(len(layers), 8)] }
