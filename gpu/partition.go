package gpu

import (
	"errors"
	"fmt"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// TensorDesc describes a tensor of a host: all that is known of it before its
// memory is opened.
type TensorDesc struct {
	Shape  []int64
	Stride []int64 // elements, one per dimension; nil: row-major without gaps
	DType  kv.DType
}

// check says what is wrong with the description by itself.
func (t *TensorDesc) check() error {
	var errs []error
	if len(t.Stride) != len(t.Shape) && t.Stride != nil {
		errs = append(errs, fmt.Errorf("shape %v has %d dimensions, stride %v has %d", t.Shape, len(t.Shape), t.Stride, len(t.Stride)))
	}
	elements := int64(1)
	for _, n := range t.Shape {
		switch {
		case n < 1:
			errs = append(errs, fmt.Errorf("shape %v: %d, must be at least 1", t.Shape, n))
		case n > maxElements/elements:
			errs = append(errs, fmt.Errorf("shape %v: more than %d elements", t.Shape, int64(maxElements)))
			elements = maxElements
		default:
			elements *= n
		}
	}
	for i, n := range t.Stride {
		switch {
		case n < 0 || n > maxElements:
			errs = append(errs, fmt.Errorf("stride %v: %d, must be from 0 to %d", t.Stride, n, int64(maxElements)))
		case n == 0 && i < len(t.Shape) && t.Shape[i] > 1:
			errs = append(errs, fmt.Errorf("stride %v: 0 in dimension %d of shape %v: elements overlap", t.Stride, i, t.Shape))
		}
	}
	if t.DType.Size() == 0 {
		errs = append(errs, fmt.Errorf("unknown element type %q", t.DType))
	}
	return errors.Join(errs...)
}

// strides are the strides, also where they are not given. The description is
// good.
func (t *TensorDesc) strides() []int64 {
	if t.Stride != nil {
		return t.Stride
	}
	s := make([]int64, len(t.Shape))
	step := int64(1)
	for i := len(s) - 1; i >= 0; i-- {
		s[i] = step
		step *= t.Shape[i]
	}
	return s
}

// key is equal for tensors that can be copied by one launch, those of equal shape,
// strides and element type. The description is good.
func (t *TensorDesc) key() string {
	return fmt.Sprint(t.Shape, t.strides(), t.DType.Torch())
}

// EngineGroup is a group of layers as a host reports it: they share a block table,
// the one at the group's place in the list.
type EngineGroup struct {
	ID           int   // the host's own; groups that it has split have one in common
	Layers       []int // indices, in the order that they have in an object
	BlockTokens  int   // tokens per block; 0: as the tensors say
	WindowTokens int   // of a sliding window; below 1: full attention
	Tag          int   // a group with a tag other than 0 is an object of its own
	Recurrent    bool  // a block holds the state after its last token
}

// KernelGroup is layers of one engine group that are copied by one launch.
type KernelGroup struct {
	EngineGroup int   // index in the list of engine groups, and of the block table
	Layers      []int // indices, in the engine group's order
}

// Partition divides layers into kernel groups: those of one engine group with
// equal shape, strides and element type are one. They come in the order of the
// engine groups and, within one, of their first layers. Each layer must be in
// exactly one engine group; no engine groups at all stand for one with every
// layer. All problems are reported at once.
func Partition(layers []TensorDesc, groups []EngineGroup) ([]KernelGroup, error) {
	if len(layers) == 0 || len(layers) > maxLayers {
		return nil, fmt.Errorf("gpu: partition: layers: %d, must be from 1 to %d", len(layers), maxLayers)
	}
	groups = orWhole(groups, len(layers))
	if err := checkGroups(layers, groups); err != nil {
		return nil, err
	}
	var kernels []KernelGroup
	for i := range groups {
		places := map[string]int{}
		for _, l := range groups[i].Layers {
			key := layers[l].key()
			j, ok := places[key]
			if !ok {
				j = len(kernels)
				places[key] = j
				kernels = append(kernels, KernelGroup{EngineGroup: i})
			}
			kernels[j].Layers = append(kernels[j].Layers, l)
		}
	}
	return kernels, nil
}

// orWhole is the groups, or if there are none one of all layers.
func orWhole(groups []EngineGroup, layers int) []EngineGroup {
	if len(groups) > 0 {
		return groups
	}
	whole := EngineGroup{Layers: make([]int, layers)}
	for i := range whole.Layers {
		whole.Layers[i] = i
	}
	return []EngineGroup{whole}
}

// checkGroups says what is wrong with layers and with groups of them.
func checkGroups(layers []TensorDesc, groups []EngineGroup) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("gpu: partition: "+format, args...))
	}
	for i := range layers {
		if err := layers[i].check(); err != nil {
			bad("layer %d: %w", i, err)
		}
	}
	owner := make([]int, len(layers)) // index of the group, plus one
	for i := range groups {
		g := &groups[i]
		if g.BlockTokens < 0 {
			bad("engine group %d: tokens per block: %d, must not be negative", i, g.BlockTokens)
		}
		if len(g.Layers) == 0 {
			bad("engine group %d: no layers", i)
		}
		for _, l := range g.Layers {
			switch {
			case l < 0 || l >= len(layers):
				bad("engine group %d: layer %d, must be from 0 to %d", i, l, len(layers)-1)
			case owner[l] > 0:
				bad("layer %d: in engine group %d and again in %d", l, owner[l]-1, i)
			default:
				owner[l] = i + 1
			}
		}
	}
	for l, o := range owner {
		if o == 0 {
			bad("layer %d: in no engine group", l)
		}
	}
	return errors.Join(errs...)
}
