package lmcache_test

import (
	"context"
	"fmt"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/l1"
)

// A server's loop over requests: look up, retrieve, compute the rest, store. The
// device is one in host memory.
func Example() {
	ctx := context.Background()
	dev := fake.New(fake.Options{})
	defer dev.Close()
	paged := must(dev.NewPaged(gpu.Shape{Layers: 2, Blocks: 64, BlockTokens: 16, Heads: 2, HeadSize: 4, DType: "float16"}))
	eng := must(lmcache.Open(ctx, lmcache.Options{ChunkTokens: 32, L1: l1.Options{Bytes: 1 << 20}}))
	defer eng.Close(ctx)
	w := must(eng.Attach(lmcache.WorkerOptions{Model: "tiny", Backend: dev, Cache: paged}))
	serve := func(id string, prompt []int32, blocks [][]gpu.BlockID) error {
		s := eng.Session(lmcache.Request{ID: id, Model: "tiny"})
		defer s.Close()
		in, err := w.Retrieve(ctx, s.Lookup(ctx, prompt), blocks, nil)
		if err != nil {
			return err
		}
		if err := in.Wait(ctx); err != nil {
			return err
		}
		fmt.Printf("%s: %d of %d tokens from the cache\n", id, in.Tokens(), len(prompt))
		// The model computes prompt[in.Tokens():] into the blocks here.
		out, err := w.Store(ctx, s, prompt, blocks, nil)
		if err != nil {
			return err
		}
		return out.Wait(ctx)
	}
	prompt := make([]int32, 100)
	blocks := [][]gpu.BlockID{{0, 1, 2, 3, 4, 5, 6}}
	fmt.Println(serve("first", prompt, blocks), serve("second", prompt, blocks), serve("third", prompt[:70], blocks))
	// Output:
	// first: 0 of 100 tokens from the cache
	// second: 96 of 100 tokens from the cache
	// third: 64 of 70 tokens from the cache
	// <nil> <nil> <nil>
}

// must is for what cannot fail here.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
