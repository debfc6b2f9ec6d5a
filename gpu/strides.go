package gpu

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Strides says where the elements of a Group lie: element (plane, layer, block,
// slot, head, d), slot counting within its block, is in tensor
//
//	plane·TensorPlane + layer·TensorLayer
//
// at element
//
//	plane·Plane + layer·Layer + block·Block + slot·Slot + head·Head + d
//
// Head size is innermost and contiguous; everything else may have gaps and
// come in any order, as long as no two elements share a place.
type Strides struct {
	TensorPlane, TensorLayer int // steps in Group.Layers

	Plane, Layer, Block, Slot, Head int64 // steps in elements of a tensor
}

// Tensor is the index in Group.Layers of the tensor that holds a layer's plane.
func (s Strides) Tensor(plane, layer int) int {
	return plane*s.TensorPlane + layer*s.TensorLayer
}

// Element is the place of an element in its tensor, in elements.
func (s Strides) Element(plane, layer, block, slot, head, d int) int64 {
	return int64(plane)*s.Plane + int64(layer)*s.Layer + int64(block)*s.Block +
		int64(slot)*s.Slot + int64(head)*s.Head + int64(d)
}

// along is the step along an axis.
func (s *Strides) along(a axis) *int64 {
	switch a {
	case planeAxis:
		return &s.Plane
	case layerAxis:
		return &s.Layer
	case blockAxis:
		return &s.Block
	case slotAxis:
		return &s.Slot
	case headAxis:
		return &s.Head
	}
	panic("gpu: strides: no such axis")
}

// gapless reports whether HostStrides say nothing that the format does not.
func (g *Group) gapless() bool {
	f, _ := g.Format.format()
	dense, given := f.dense(g), g.Strides()
	for a := planeAxis; a <= headAxis; a++ {
		if f.count(g, a) > 1 && *dense.along(a) != *given.along(a) {
			return false
		}
	}
	return true
}

// checkHostStrides says what is wrong with the strides that the host has given
// for a group whose dimensions are valid.
func (g *Group) checkHostStrides(f format) error {
	host := g.HostStrides
	if host == (Strides{}) {
		return nil
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("strides: "+format, args...)) }
	plane, layer := f.steps(g)
	if p, l := host.TensorPlane, host.TensorLayer; (p != 0 || l != 0) && (p != plane || l != layer) {
		bad("steps from tensor to tensor: %d and %d, must be %d and %d, or not set", p, l, plane, layer)
	}
	var axes []axis // of more than one element
	for a := planeAxis; a <= headAxis; a++ {
		step := *host.along(a)
		switch {
		case step < 0:
			bad("%s: %d, must not be negative", a, step)
		case step > maxElements:
			bad("%s: %d, at most %d", a, step, int64(maxElements))
		case a == planeAxis && f.lists, a == layerAxis && !f.joint:
			if step != 0 {
				bad("%s: %d, must be 0: each %s has tensors of its own", a, step, a)
			}
		case f.count(g, a) > 1:
			axes = append(axes, a)
		}
	}
	if len(errs) == 0 {
		errs = append(errs, g.checkOverlap(f, axes)...)
	}
	return errors.Join(errs...)
}

// checkOverlap goes through the axes from the smallest step to the largest: each
// step must be at least what the axes before it take.
func (g *Group) checkOverlap(f format, axes []axis) (errs []error) {
	host := g.HostStrides
	slices.SortStableFunc(axes, func(a, b axis) int { return cmp.Compare(*host.along(a), *host.along(b)) })
	extent := int64(g.HeadSize)
	for _, a := range axes {
		step, more := *host.along(a), int64(f.count(g, a)-1)
		switch {
		case step < extent:
			errs = append(errs, fmt.Errorf("strides: %s: %d, must be at least %d: elements overlap", a, step, extent))
		case step > (maxElements-extent)/more:
			return append(errs, fmt.Errorf("strides: %s: %d, more than %d elements in a tensor", a, step, int64(maxElements)))
		}
		extent += more * step
	}
	return errs
}
