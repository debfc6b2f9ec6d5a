package workload

import (
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/storage/kv"
)

const (
	maxBlockTokens = 64 // of a block of the device's paged cache
	maxLayers      = 4  // of the model
	minRowBytes    = 16 // of a token in one plane of one layer, with more than one layer
	wordBytes      = 8  // of a word of the pattern
)

// shape is a model whose cache has bytesPerToken bytes per token: K and V, up to
// four layers, as many as leave whole words in a row, two heads if the row can be
// halved. Its blocks divide a chunk.
func shape(bytesPerToken, chunkTokens int) gpu.Shape {
	row := bytesPerToken / 2
	s := gpu.Shape{Layers: 1, BlockTokens: 1, Heads: 1, DType: kv.BFloat16}
	for s.Layers < maxLayers && row >= 2*minRowBytes && row%(2*wordBytes) == 0 {
		s.Layers *= 2
		row /= 2
	}
	if row%2 != 0 {
		s.DType = kv.Uint8
	}
	s.HeadSize = row / s.DType.Size()
	if s.HeadSize%2 == 0 {
		s.Heads, s.HeadSize = 2, s.HeadSize/2
	}
	for n := min(chunkTokens, maxBlockTokens); n > 1; n-- {
		if chunkTokens%n == 0 {
			s.BlockTokens = n
			break
		}
	}
	return s
}
