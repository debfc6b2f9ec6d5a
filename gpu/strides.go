package gpu

// Strides says where the elements of a Group lie: element (plane, layer, block,
// slot, head, d), slot counting within its block, is in tensor
//
//	plane·TensorPlane + layer·TensorLayer
//
// at element
//
//	plane·Plane + layer·Layer + block·Block + slot·Slot + head·Head + d
//
// Head size is innermost and contiguous in every Format.
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
