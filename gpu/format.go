package gpu

// Format names the order of a paged cache's dimensions, outermost first: NL
// layers, NB blocks, BS tokens per block, NH heads, HS head size, TWO for K and
// V. What stands before _X_ is a list, not a dimension of a tensor.
type Format string

// FormatTwoNBBSNHHS is one tensor [2, blocks, block tokens, heads, head size]
// per layer, K first and then V.
const FormatTwoNBBSNHHS Format = "NL_X_TWO_NB_BS_NH_HS"

// Formats returns the formats that a Group may have.
func Formats() []Format {
	return []Format{FormatTwoNBBSNHHS}
}

// format is the strategy of one Format: all that the package knows about it.
type format struct {
	planes  int                  // 2: K and V; 1: one latent for both
	tensors func(layers int) int // how many tensors hold that many layers
	layers  func(tensors int) int
	strides func(g *Group) Strides // where the elements of a valid shape lie
}

// format returns the strategy of f; ok is false for one that is not supported.
func (f Format) format() (_ format, ok bool) {
	switch f { //nolint:gocritic // one case per format
	case FormatTwoNBBSNHHS:
		return format{planes: 2, tensors: onePerLayer, layers: onePerLayer, strides: twoNBBSNHHS}, true
	}
	return format{}, false
}

func onePerLayer(n int) int { return n }

func twoNBBSNHHS(g *Group) Strides {
	slot := int64(g.Heads) * int64(g.HeadSize)
	block := slot * int64(g.BlockTokens)
	return Strides{
		TensorLayer: 1,
		Plane:       block * int64(g.Blocks),
		Block:       block,
		Slot:        slot,
		Head:        int64(g.HeadSize),
	}
}
