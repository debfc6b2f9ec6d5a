package gpu

import (
	"fmt"
	"slices"
	"strings"
)

// Format names the order of a paged cache's dimensions, outermost first: NL
// layers, NB blocks, BS tokens per block, NBBS blocks times tokens, NH heads, HS
// head size, TWO for K and V, ONE for a dimension of 1. What stands before _X_
// is a list, not a dimension of a tensor. Shape spells it out.
type Format string

// The formats that a Group may have. In those without TWO one latent per token
// serves for K and V (MLA).
const (
	FormatTwoNBBSNHHS   Format = "NL_X_TWO_NB_BS_NH_HS"  // tokens before heads (NHD), K and V outermost
	FormatNBTwoBSNHHS   Format = "NL_X_NB_TWO_BS_NH_HS"  // NHD, K and V in each block
	FormatNBBSHS        Format = "NL_X_NB_BS_HS"         // MLA
	FormatTwoNBNHBSHS   Format = "NL_X_TWO_NB_NH_BS_HS"  // heads before tokens (HND), K and V outermost
	FormatNBTwoNHBSHS   Format = "NL_X_NB_TWO_NH_BS_HS"  // HND, K and V in each block
	FormatTwoNLNBBSNHHS Format = "TWO_X_NL_X_NBBS_NH_HS" // NHD, all K tensors and then all V tensors
	FormatNBBSOneHS     Format = "NL_X_NBBS_ONE_HS"      // MLA, blocks and tokens in one dimension
	FormatNBNLTwoBSNHHS Format = "NB_NL_TWO_BS_NH_HS"    // NHD, one tensor for all layers
)

// Formats returns the formats that a Group may have.
func Formats() []Format {
	return []Format{
		FormatTwoNBBSNHHS, FormatNBTwoBSNHHS, FormatNBBSHS, FormatTwoNBNHBSHS,
		FormatNBTwoNHBSHS, FormatTwoNLNBBSNHHS, FormatNBBSOneHS, FormatNBNLTwoBSNHHS,
	}
}

// Further names that LMCache 0.5.6 has: they are known, and refused.
const (
	formatNBNLTwoNHBSHS Format = "NB_NL_TWO_NH_BS_HS"
	formatTwoNLNBBSNHHS Format = "TWO_X_NL_X_NB_BS_NH_HS"
	formatFusedNHD      Format = "NL_X_NB_BS_NH_CS"
	formatFusedHND      Format = "NL_X_NB_NH_BS_CS"
)

func refusedFormats() []Format {
	return []Format{
		formatNBNLTwoNHBSHS, "NL_X_NB_BSV_BSS", formatFusedNHD, "NL_X_NB_BS_NH_HS", "NL_X_NB_BS_NH_TWO_HS", formatFusedHND,
		"NL_X_NB_NH_BS_TWO_HS", "NL_X_NP_X_NB_BS_ONE_HS", "NL_X_TWO_NB_NH_ONE_BS_HS", "NL_X_TWO_X_NB_BS_NH_HS", formatTwoNLNBBSNHHS,
	}
}

// Supported reports whether a Group may have the format.
func (f Format) Supported() bool {
	_, ok := f.format()
	return ok
}

// Shape spells out the tensors of a format, "NL x [2, NB, BS, NH, HS]" for
// example. It is empty for a name that is not known; eleven names are known
// that are not supported.
func (f Format) Shape() string {
	if !f.Supported() && !slices.Contains(refusedFormats(), f) {
		return ""
	}
	levels := strings.Split(string(f), "_X_")
	for i, l := range levels {
		dims := strings.Split(l, "_")
		for j, d := range dims {
			switch d {
			case "TWO":
				dims[j] = "2"
			case "ONE":
				dims[j] = "1"
			}
		}
		levels[i] = strings.Join(dims, ", ")
	}
	last := len(levels) - 1
	levels[last] = "[" + levels[last] + "]"
	return strings.Join(levels, " x ")
}

// refusal says that a format is not supported; tensors is what there is of it, if
// that is known.
func (f Format) refusal(tensors string) error {
	if tensors == "" {
		tensors = f.Shape()
	}
	if tensors != "" {
		tensors = ": tensors " + tensors
	}
	return fmt.Errorf("unsupported layout %q%s; supported: %q", f, tensors, Formats())
}

// axis is a dimension of a tensor other than head size, which is the innermost
// one of every format.
type axis uint8

const (
	noAxis axis = iota
	planeAxis
	layerAxis
	blockAxis
	slotAxis
	headAxis
)

// String names the axis in errors.
func (a axis) String() string {
	switch a {
	case planeAxis:
		return "plane"
	case layerAxis:
		return "layer"
	case blockAxis:
		return "block"
	case slotAxis:
		return "slot"
	case headAxis:
		return "head"
	}
	return "none"
}

// format is all that the package knows about a Format.
type format struct {
	planes int     // 2: K and V; 1: one latent for both
	lists  bool    // the planes are lists of tensors: all of K, then all of V
	joint  bool    // one tensor holds all layers
	axes   [5]axis // of a tensor, outermost first
}

// format is what there is to know about f; ok is false if it is not supported.
func (f Format) format() (_ format, ok bool) {
	switch f {
	case FormatTwoNBBSNHHS:
		return format{planes: 2, axes: [5]axis{planeAxis, blockAxis, slotAxis, headAxis}}, true
	case FormatNBTwoBSNHHS:
		return format{planes: 2, axes: [5]axis{blockAxis, planeAxis, slotAxis, headAxis}}, true
	case FormatTwoNBNHBSHS:
		return format{planes: 2, axes: [5]axis{planeAxis, blockAxis, headAxis, slotAxis}}, true
	case FormatNBTwoNHBSHS:
		return format{planes: 2, axes: [5]axis{blockAxis, planeAxis, headAxis, slotAxis}}, true
	case FormatNBBSHS, FormatNBBSOneHS: // of one head
		return format{planes: 1, axes: [5]axis{blockAxis, slotAxis, headAxis}}, true
	case FormatTwoNLNBBSNHHS:
		return format{planes: 2, lists: true, axes: [5]axis{blockAxis, slotAxis, headAxis}}, true
	case FormatNBNLTwoBSNHHS:
		return format{planes: 2, joint: true, axes: [5]axis{blockAxis, layerAxis, planeAxis, slotAxis, headAxis}}, true
	}
	return format{}, false
}

// tensors is how many tensors hold that many layers.
func (f format) tensors(layers int) int {
	switch {
	case f.joint:
		return 1
	case f.lists:
		return f.planes * layers
	}
	return layers
}

// layers is how many layers a group has.
func (f format) layers(g *Group) int {
	switch {
	case f.joint:
		return g.TensorLayers
	case f.lists:
		return len(g.Layers) / f.planes
	}
	return len(g.Layers)
}

// steps are the steps from tensor to tensor of a group.
func (f format) steps(g *Group) (plane, layer int) {
	switch {
	case f.joint:
		return 0, 0
	case f.lists:
		return f.layers(g), 1
	}
	return 0, 1
}

// count is how long an axis of a tensor is; 1 for one that the tensors do not have.
func (f format) count(g *Group, a axis) int {
	switch a {
	case planeAxis:
		if !f.lists {
			return f.planes
		}
	case layerAxis:
		if f.joint {
			return g.TensorLayers
		}
	case blockAxis:
		return g.Blocks
	case slotAxis:
		return g.SlotsPerBlock()
	case headAxis:
		return g.Heads
	}
	return 1
}

// dense are the strides of tensors without gaps.
func (f format) dense(g *Group) Strides {
	var s Strides
	step := int64(g.HeadSize)
	for i := len(f.axes) - 1; i >= 0; i-- {
		if a := f.axes[i]; a != noAxis {
			*s.along(a) = step
			step *= int64(f.count(g, a))
		}
	}
	return s
}
