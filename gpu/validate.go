package gpu

import (
	"errors"
	"fmt"
)

// Limits of a group.
const (
	maxElements = 1 << 59 // in all: no size in bytes overflows
	maxBlocks   = 1<<31 - 1
)

// Validate reports all that is wrong with the group at once.
func (g *Group) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	f, supported := g.Format.format()
	if !supported {
		errs = append(errs, g.Format.refusal(""))
	}
	fits := g.checkDimensions(f, bad)
	if supported {
		g.checkFormat(f, bad)
	}
	if int64(g.Blocks) > maxBlocks {
		bad("blocks: %d, at most %d", g.Blocks, maxBlocks)
	}
	if g.DType.Size() == 0 {
		bad("unknown element type %q", g.DType)
	}
	if g.EngineGroup < 0 {
		bad("engine group: %d, must be at least 0", g.EngineGroup)
	}
	known := supported && fits && g.DType.Size() > 0
	if supported && fits {
		if err := g.checkHostStrides(f); err != nil {
			errs = append(errs, err)
			known = false
		}
	}
	for i, t := range g.Layers {
		switch {
		case t == nil:
			bad("tensor %d: missing", i)
		case known && t.Bytes() < g.TensorBytes():
			bad("tensor %d: %d bytes, must have %d", i, t.Bytes(), g.TensorBytes())
		}
	}
	return errors.Join(errs...)
}

// checkDimensions reports whether each dimension is at least 1 and their product
// does not overflow.
func (g *Group) checkDimensions(f format, bad func(format string, args ...any)) (fits bool) {
	type dimension struct {
		name string
		n    int
	}
	dims := []dimension{
		{"tensors", len(g.Layers)},
		{"blocks", g.Blocks},
		{"block tokens", g.BlockTokens},
		{"heads", g.Heads},
		{"head size", g.HeadSize},
	}
	if f.joint {
		dims = append(dims, dimension{"layers per tensor", g.TensorLayers})
	}
	elements := int64(max(f.planes, 1))
	fits = true
	for _, dim := range dims {
		switch {
		case dim.n < 1:
			bad("%s: %d, must be at least 1", dim.name, dim.n)
			fits = false
		case int64(dim.n) > maxElements/elements:
			bad("%s: %d, more than %d elements in all", dim.name, dim.n, int64(maxElements))
			fits = false
			elements = 1 // the dimensions that follow are judged by themselves
		default:
			elements *= int64(dim.n)
		}
	}
	return fits
}

// checkFormat reports what does not go with the format.
func (g *Group) checkFormat(f format, bad func(format string, args ...any)) {
	switch n := len(g.Layers); {
	case f.joint && n > 1:
		bad("tensors: %d, must be 1: %s holds all layers in one", n, g.Format)
	case f.lists && n%f.planes != 0:
		bad("tensors: %d, must be even: %s has one of K and one of V per layer", n, g.Format)
	}
	if !f.joint && g.TensorLayers != 0 && g.TensorLayers != 1 {
		bad("layers per tensor: %d, must be 1 in %s", g.TensorLayers, g.Format)
	}
	if f.planes == 1 && g.Heads > 1 {
		bad("heads: %d, must be 1: %s has none", g.Heads, g.Format)
	}
}
