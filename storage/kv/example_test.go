package kv_test

import (
	"fmt"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// A session keeps one Chain: a growing prompt costs one hash per new chunk, and
// a changed one is hashed from the first difference.
func ExampleChain() {
	hasher, err := kv.NewHasher(kv.BLAKE3, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	const chunkTokens = 4
	prompt := []int32{1, 2, 3, 4, 5, 6, 7, 8, 9}

	var chain kv.Chain
	chain = chain.Extend(hasher, chunkTokens, prompt)
	fmt.Println(chain.Len(), "chunks; the tail of 1 token is not hashed")

	grown := chain.Extend(hasher, chunkTokens, append(prompt, 10, 11, 12))
	fmt.Println(grown.Len(), "chunks; begins as before:", grown.HasPrefix(chain))

	prompt[5] = -1
	changed := chain.Extend(hasher, chunkTokens, prompt)
	fmt.Println("chunk 0 the same:", changed.Hashes()[0] == chain.Hashes()[0])
	fmt.Println("chunk 1 the same:", changed.Hashes()[1] == chain.Hashes()[1])
	// Output:
	// 2 chunks; the tail of 1 token is not hashed
	// 3 chunks; begins as before: true
	// chunk 0 the same: true
	// chunk 1 the same: false
}

// The keys of a lookup: all ranks of each chunk, chunk by chunk.
func ExampleRequest_AppendKeys() {
	hasher, err := kv.NewHasher(kv.BLAKE3, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	hashes := hasher.AppendChain(nil, hasher.Seed(), []int32{1, 2, 3, 4}, 2)
	r := kv.Request{Model: "meta/llama", Salt: "tenant", World: 2, Worker: kv.AllWorkers}
	keys, err := r.AppendKeys(nil, 0, hashes)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, k := range keys {
		_, rank, _, _ := kv.UnpackRank(k.Rank)
		fmt.Printf("key %d: chunk %d, rank %d, salt %s\n", i, i/r.Ranks(), rank, k.Salt)
	}
	// Output:
	// key 0: chunk 0, rank 0, salt tenant
	// key 1: chunk 0, rank 1, salt tenant
	// key 2: chunk 1, rank 0, salt tenant
	// key 3: chunk 1, rank 1, salt tenant
}
