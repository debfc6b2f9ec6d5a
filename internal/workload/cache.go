package workload

import (
	"fmt"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
)

// cache is the paged KV cache of the device.
type cache struct {
	dev   *fake.Device
	paged *gpu.Paged
	pool  *pool
}

func newCache(dev *fake.Device, s gpu.Shape) (*cache, error) {
	paged, err := dev.NewPaged(s)
	if err != nil {
		return nil, fmt.Errorf("paged cache of %d blocks: %w", s.Blocks, err)
	}
	return &cache{dev: dev, paged: paged, pool: newPool(s.Blocks)}, nil
}

func (c *cache) group() *gpu.Group { return &c.paged.Groups[0] }

// block is the memory of one block in one plane of one layer.
func (c *cache) block(layer, plane int, b gpu.BlockID) []byte {
	return c.dev.Block(c.paged, 0, layer, plane, b)
}

// wipe overwrites blocks, so that nothing right is in them by accident.
func (c *cache) wipe(blocks []gpu.BlockID) {
	for plane := range c.group().Planes() {
		for layer := range c.group().LayerCount() {
			for _, b := range blocks {
				clear(c.block(layer, plane, b))
			}
		}
	}
}
