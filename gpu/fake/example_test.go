package fake_test

import (
	"context"
	"fmt"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
)

// A device with the Virtual clock: work runs when it is waited for, and takes
// device time only.
func Example() {
	dev := fake.New(fake.Options{Clock: fake.Virtual, Gather: fake.Cost{Bandwidth: 1 << 30}})
	defer func() { _ = dev.Close() }()
	cache, err := dev.NewPaged(gpu.Shape{
		Layers: 2, Blocks: 8, BlockTokens: 16, Heads: 2, HeadSize: 8, DType: "bfloat16",
	})
	if err != nil {
		panic(err)
	}
	copy(dev.Block(cache, 0, 0, 0, 5), "block five")

	stream, err := dev.NewStream(gpu.Normal)
	if err != nil {
		panic(err)
	}
	blocks := []gpu.BlockID{5, 2}
	object := make([]byte, cache.Groups[0].Bytes(len(blocks)))
	stream.Gather(object, cache, 0, blocks)
	if err := stream.Record().Wait(context.Background()); err != nil {
		panic(err)
	}
	fmt.Printf("%d bytes of %s\n", len(object), object[:10])
	// Output: 4096 bytes of block five
}
