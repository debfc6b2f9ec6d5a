package gputest

import (
	"slices"

	"github.com/lmcache-go/lmcache/gpu"
)

// Layout is a way in which the tensors of a group can lie.
type Layout struct {
	Format  gpu.Format
	Strides StrideKind
}

// StrideKind is where the elements of a tensor lie, given their format.
type StrideKind string

// The kinds of strides.
const (
	Dense    StrideKind = "dense"    // without gaps
	Padded   StrideKind = "padded"   // with gaps between all elements but those of one head
	Reversed StrideKind = "reversed" // with the dimensions, except head size, in reverse order
)

// Layouts are all ways: each format with each kind of strides.
func Layouts() []Layout {
	var all []Layout
	for _, f := range gpu.Formats() {
		for _, k := range []StrideKind{Dense, Padded, Reversed} {
			all = append(all, Layout{f, k})
		}
	}
	return all
}

// String is a name for a test.
func (l Layout) String() string { return string(l.Format) + "," + string(l.Strides) }

// MLA reports whether the layout has one plane, and one head.
func (l Layout) MLA() bool { return l.Format == gpu.FormatNBBSHS || l.Format == gpu.FormatNBBSOneHS }

// Of is the shape s in this layout. One without heads has them all in one.
func (l Layout) Of(s gpu.Shape) gpu.Shape {
	s.Format, s.HostStrides = l.Format, gpu.Strides{}
	if l.MLA() {
		s.Heads, s.HeadSize = 1, s.Heads*s.HeadSize
	}
	switch l.Strides {
	case Padded:
		s.HostStrides = rearranged(s, 3, false)
	case Reversed:
		s.HostStrides = rearranged(s, 0, true)
	}
	return s
}

// rearranged are strides with gaps of pad elements behind each step, from the
// dimension with the shortest step to that with the longest, or in reverse.
func rearranged(s gpu.Shape, pad int64, reverse bool) gpu.Strides {
	g, err := s.Group(func(bytes int64) (gpu.Tensor, error) { return size(bytes), nil })
	if err != nil {
		panic("gputest: " + err.Error())
	}
	strides := g.Strides()
	strides.TensorPlane, strides.TensorLayer = 0, 0
	type dim struct {
		step  *int64
		count int
	}
	dims := []dim{{&strides.Block, g.Blocks}, {&strides.Slot, g.BlockTokens}, {&strides.Head, g.Heads}}
	if strides.Plane > 0 {
		dims = append(dims, dim{&strides.Plane, g.Planes()})
	}
	if strides.Layer > 0 {
		dims = append(dims, dim{&strides.Layer, g.LayerCount()})
	}
	slices.SortStableFunc(dims, func(a, b dim) int { return int(*a.step - *b.step) })
	if reverse {
		slices.Reverse(dims)
	}
	step := int64(g.HeadSize) + pad
	for _, d := range dims {
		*d.step = step
		step = step*int64(d.count) + pad
	}
	return strides
}

// size is a tensor that is nowhere.
type size int64

func (s size) Bytes() int64 { return int64(s) }
